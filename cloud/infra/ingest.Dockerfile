# The image of the ingest functions. `tidegate infra synth` lays out what it is built from; `cdk deploy` builds it.
# A zip would have to be at most 250 MB; deltalake and pyarrow alone are 300.
FROM public.ecr.aws/lambda/python:3.13
COPY constraints.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt \
    boto3 deltalake numpy paho-mqtt protobuf pyarrow zstandard
COPY . ${LAMBDA_TASK_ROOT}
CMD ["cloud.ingest.aws_lambda.take_in"]
