"""What AWS would be to boto3, on loopback: moto's server for S3, IoT and the rest, our control plane for Greengrass."""

import logging
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.request import Request, urlopen

from moto.core.config import default_user_config
from moto.server import ThreadedMotoServer

from simulator.authority import Authority
from simulator.control_plane import LOOPBACK, ControlPlane

REGION = "eu-central-1"


class Aws:
    """Up when constructed, gone when closed. The control plane's memory stays in `state`; moto forgets.

    moto keeps one account per process, so there is one of these per process at a time.
    """

    def __init__(self, state: Path, *, authority: Authority | None = None) -> None:
        """`authority` signs devices' certificates (None: one of its own, in `state`)."""
        # else a certificate's id is a digest of its text, where AWS' is one of what the text encodes
        default_user_config["iot"] = {"use_valid_cert": True}
        # werkzeug would print a line per request
        logging.getLogger("werkzeug").setLevel(logging.WARNING)
        self._moto = ThreadedMotoServer(ip_address=LOOPBACK, port=0, verbose=False)
        self._moto.start()
        host, port = self._moto.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"
        self._reset_moto()  # of what another one in this process has left
        self.control_plane = ControlPlane(self.endpoint, state, region=REGION, authority=authority)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make unmodified boto3 talk to this, whichever service it is asked for."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ENDPOINT_URL_IOT": self.control_plane.iot_endpoint,
            "AWS_ENDPOINT_URL_GREENGRASSV2": self.control_plane.endpoint,
            "AWS_ENDPOINT_URL_IOT_JOBS_DATA_PLANE": self.control_plane.endpoint,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "simulator",
            "AWS_SECRET_ACCESS_KEY": "simulator",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def forget(self) -> None:
        """Start anew: no bucket, thing, component or deployment is left."""
        self._reset_moto()
        self.control_plane.forget()

    def close(self) -> None:
        self.control_plane.close()
        self._moto.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _reset_moto(self) -> None:
        urlopen(Request(f"{self.endpoint}/moto-api/reset", method="POST"), timeout=10).close()
