"""S3 as moto plays it, on a port of this process, with faults that a network and an account may have."""

import logging
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

REGION: Final = "eu-central-1"
Request = Callable[[str, str], bool]  # method and path, of which it is true or not


class S3:
    """moto's S3. What deltalake and Arrow do there lets Python go on, so it may serve the very process that asks."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.WARNING)  # it would print a line per request
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        threading.Thread(target=self._server.serve_forever, name="s3", daemon=True).start()
        self.put: list[str] = []  # the paths of what was put
        self._refused: Request | None = None
        self._unheard: Request | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What makes everybody look for S3 here."""
        endpoint = f"http://127.0.0.1:{self._server.server_port}"
        return {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ENDPOINT_URL_S3": endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def new_bucket(self) -> str:
        """The name of an empty bucket."""
        name = f"bucket-{uuid.uuid4()}"
        s3 = boto3.client("s3", endpoint_url=self.environment["AWS_ENDPOINT_URL"], region_name=REGION)
        s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.close()
        return name

    @contextmanager
    def refusing(self, which: Request = lambda method, path: True) -> Iterator[None]:
        """Access to these is denied."""
        self._refused = which
        try:
            yield
        finally:
            self._refused = None

    def lose_the_answer(self, which: Request) -> None:
        """The next such request is done, and whoever asked for it hears of a server's error instead."""
        self._unheard = which

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        if request[0] == "PUT":
            self.put.append(request[1])
        if self._refused is not None and self._refused(*request):
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"]
        if self._unheard is not None and self._unheard(*request):
            self._unheard = None
            b"".join(self._moto(environ, lambda *_: None))
            start_response("500 Internal Server Error", [])
            return []
        answer: Iterable[bytes] = self._moto(environ, start_response)
        return answer
