"""The flags of `tidegate train --sagemaker`. Nothing here needs boto3: they are there for every training."""

import argparse
import os


def sagemaker_arguments(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--sagemaker",
        action="store_true",
        help="train on a machine of SageMaker's instead of here (--data and --val may then be s3://BUCKET/PREFIX)",
    )
    for flag, metavar, what in (
        ("role", "ARN", "the IAM role that the job has"),
        ("image", "URI", "a container image made of cloud/sagemaker/Dockerfile"),
        ("s3", "URI", "s3://BUCKET/PREFIX for data, checkpoints and models"),
    ):
        variable = f"TIDEGATE_SAGEMAKER_{flag.upper()}"
        group.add_argument(
            f"--{flag}", metavar=metavar, default=os.environ.get(variable), help=f"{what} (default: ${variable})"
        )
    group.add_argument("--instance-type", metavar="TYPE", default="ml.c7i.xlarge", help="default: %(default)s")
    group.add_argument("--spot", action="store_true", help="on spare machines: cheaper, and goes on when one is lost")
    group.add_argument(
        "--hours", type=float, default=4.0, metavar="H", help="stop the job after so long (default: %(default)s)"
    )
    group.add_argument("--job", metavar="NAME", help="the job's name; one that is there already is not begun again")
    group.add_argument("--wait", action="store_true", help="wait for the job, and leave its run folder in --out")
