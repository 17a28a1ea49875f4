"""TLS in front of the stack's PostgreSQL, which has none, and a fail-over at will: connections that are cut."""

from __future__ import annotations

import select
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import SecretStr

from sesacctl.settings import DbType, Settings

_SSL_REQUEST_BYTES = 8


class TlsProxy:
    """Answers `S` to libpq, then speaks TLS and forwards; `cut` first hangs up on all, and then on the next ones."""

    def __init__(self, server: Path, certificate: Path) -> None:
        self._server = str(server)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(certificate)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.cuts_left = 0
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._take, daemon=True).start()

    def cut(self, connections: int) -> None:
        """Hang up on everybody, and on the next so many connections after their `S`."""
        with self._lock:
            self.cuts_left = connections
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take nobody any more."""
        self.cut(0)
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _take(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(_SSL_REQUEST_BYTES)
            connection.sendall(b"S")
            with self._lock:
                is_cut = self.cuts_left > 0
                self.cuts_left -= is_cut
                if not is_cut:
                    self._open.add(connection)
            if not is_cut:
                self._forward(connection)

    def _forward(self, connection: socket.socket) -> None:
        try:
            with socket.socket(socket.AF_UNIX) as server:
                server.connect(self._server)
                # Another descriptor of the same connection: `cut` ends both.
                with self._tls.wrap_socket(connection.dup(), server_side=True) as client:
                    _pump(client, server)
        finally:
            with self._lock:
                self._open.discard(connection)


def _pump(client: ssl.SSLSocket, server: socket.socket) -> None:
    while True:
        ready: list[socket.socket] = [client] if client.pending() else select.select([client, server], [], [])[0]
        for one in ready:
            if not (data := one.recv(65_536)):
                return
            (server if one is client else client).sendall(data)


@contextmanager
def tls_proxy(settings: Settings, folder: Path) -> Iterator[tuple[TlsProxy, Settings]]:
    """The proxy, and `settings` that go through it as if to Amazon RDS."""
    certificate = folder / "server.pem"
    subject = ("-subj", "/CN=localhost", "-days", "2", "-newkey", "rsa:2048", "-noenc")
    subprocess.run(
        ["openssl", "req", "-x509", *subject, "-keyout", certificate, "-out", folder / "only.pem"],
        check=True,
        capture_output=True,
    )
    certificate.write_text(certificate.read_text() + (folder / "only.pem").read_text())
    proxy = TlsProxy(Path(settings.postgres_host) / f".s.PGSQL.{settings.postgres_port}", certificate)
    through = {
        "db_type": DbType.RDS,
        "rds_host": "127.0.0.1",
        "rds_port": proxy.port,
        "rds_user": settings.postgres_user,
        "rds_password": SecretStr("unused"),
        "rds_db": settings.postgres_db,
    }
    try:
        yield proxy, settings.model_copy(update=through)
    finally:
        proxy.close()
