"""Credentials for components that depend on aws.greengrass.TokenExchangeService: there boto3 just works.

The address is one that boto3 asks by itself (AWS_CONTAINER_CREDENTIALS_FULL_URI). A real device gets the credentials
for its role alias from IoT; this one hands on those that it was started with, and with them where the simulated
services are, which no real device needs.
"""

import datetime
import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from simulator.ports import LOOPBACK

SERVICE = "aws.greengrass.TokenExchangeService"
_PATH = "/2016-11-01/credentialprovider/"
_VALID = datetime.timedelta(hours=1)


class TokenExchange:
    """Listens from the first component on that needs it."""

    def __init__(self, cloud: Mapping[str, str], *, knows: Callable[[str], bool]) -> None:
        """`cloud`: the AWS_* variables of the device; `knows` whether a token is one of its components'."""
        self._cloud = cloud
        self._knows = knows
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None

    def environment(self, token: str) -> Mapping[str, str]:
        """What a component with this token is given."""
        with self._lock:
            if self._server is None:
                self._server = ThreadingHTTPServer((LOOPBACK, 0), self._handler())
                self._server.daemon_threads = True
                threading.Thread(target=self._server.serve_forever, name="token exchange", daemon=True).start()
            port = self._server.server_address[1]
        return {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{LOOPBACK}:{port}{_PATH}",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
            **{name: value for name, value in self._cloud.items() if name.startswith("AWS_ENDPOINT_URL")},
        }

    def close(self) -> None:
        with self._lock:
            if self._server is not None:
                self._server.shutdown()
                self._server.server_close()
                self._server = None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        cloud, knows = self._cloud, self._knows

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                allowed = self.path == _PATH and knows(self.headers.get("Authorization", ""))
                body = json.dumps(_credentials(cloud)).encode() if allowed else b"{}"
                self.send_response(200 if allowed else 403)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


def _credentials(cloud: Mapping[str, str]) -> dict[str, str]:
    expires = datetime.datetime.now(datetime.UTC) + _VALID
    return {
        "AccessKeyId": cloud.get("AWS_ACCESS_KEY_ID", ""),
        "SecretAccessKey": cloud.get("AWS_SECRET_ACCESS_KEY", ""),
        "Token": cloud.get("AWS_SESSION_TOKEN", "none"),
        "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
