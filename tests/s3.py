"""An S3 server on this machine, with one bucket, that may fail now and then."""

import contextlib
import itertools
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import DomainDispatcherApplication, ThreadedMotoServer, create_backend_app
from s3fs import S3FileSystem
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "survey"
SLOW_S = 0.3


@contextlib.contextmanager
def bucket() -> Iterator[Any]:
    """Yields a client; what speaks S3 in this process finds the server through its environment."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        S3FileSystem.clear_instance_cache()  # those of a server before would ask it still
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client
    server.stop()


@dataclass
class Faults:
    """A WSGI application before the server's: it lets pass, fails, waits, or hangs up half-way."""

    rate: float  # share of the requests that meet a fault
    seed: int = 1
    met: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    """Requests by method and path."""

    def __post_init__(self):
        self._server = DomainDispatcherApplication(create_backend_app)
        self._random, self._lock = random.Random(self.seed), threading.Lock()
        self._kinds = itertools.cycle(["500", "cut", "503", "slow"])

    def __call__(self, environ, start_response):
        with self._lock:
            struck = self._random.random() < self.rate
            fault = next(self._kinds) if struck else "none"
            self.met[fault] += 1
            self.asked[f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"] += 1
        if fault in ("500", "503"):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response(f"{fault} Injected", [("Content-Length", "0")])
            return [b""]
        if fault == "slow":
            time.sleep(SLOW_S)
        answer = self._server(environ, start_response)
        return self._half(answer, environ) if fault == "cut" else answer

    @staticmethod
    def _half(answer, environ):
        """Half of what was announced, then nobody there."""
        body = b"".join(answer)
        yield body[: len(body) // 2]
        with contextlib.suppress(OSError):
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def failing(faults: Faults) -> Iterator[None]:
    """Within the block, what speaks S3 in this process meets these faults; inside `bucket`."""

    class Quiet(WSGIRequestHandler):
        def log(self, *_):
            pass

    server = make_server("127.0.0.1", 0, faults, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        yield
    server.shutdown()
    thread.join()
    server.server_close()


def upload(client: Any, source: Path, key: str) -> None:
    """A file, or a folder with all that it holds."""
    for path in [source] if source.is_file() else sorted(source.rglob("*")):
        if path.is_file():
            name = key if path == source else f"{key}/{path.relative_to(source).as_posix()}"
            client.upload_file(str(path), BUCKET, name)


def download(client: Any, key: str, target: Path) -> Path:
    """All that lies under a key, as a folder."""
    for found in client.list_objects_v2(Bucket=BUCKET, Prefix=f"{key}/").get("Contents", []):
        path = target / found["Key"].removeprefix(f"{key}/")
        path.parent.mkdir(parents=True, exist_ok=True)
        client.download_file(BUCKET, found["Key"], str(path))
    return target
