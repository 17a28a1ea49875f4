"""A TCP proxy that does to connections what networks do: cut, hold back, delay, trickle, half-close, lose an answer."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

UP, DOWN = 0, 1  # to the server, to the client
_COMMITTED = b"C\x00\x00\x00\x0bCOMMIT\x00"  # PostgreSQL's CommandComplete
_CHUNK = 65_536
_TRICKLE_PIECES = 20  # a second

Target = Callable[[], socket.socket]


def tcp(port: int) -> Target:
    """A server on this machine."""
    return lambda: socket.create_connection(("127.0.0.1", port), timeout=5)


def unix(path: str) -> Target:
    """A server behind a socket file."""

    def connect() -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        made.connect(path)
        return made

    return connect


class Proxy:
    """Listens on `port` of its own; the target may be set later, and is asked for each connection."""

    def __init__(self, target: Target | None = None, address: str = "127.0.0.1") -> None:
        self.target = target
        self._socket = socket.create_server((address, 0), backlog=256)
        self.port: int = self._socket.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[tuple[socket.socket, socket.socket]] = set()
        self._flows = (threading.Event(), threading.Event())
        self._closed = threading.Event()
        self.latency_seconds = 0.0
        self.bytes_per_second: int | None = None
        self.refuses = False
        self.commits_to_lose = 0
        self.heal()
        threading.Thread(target=self._take, name=f"proxy-{self.port}", daemon=True).start()

    # ---- what may happen to connections

    def cut(self) -> None:
        """Hang up on everybody, both sides."""
        with self._lock:
            pairs = list(self._open)
        for pair in pairs:
            for one in pair:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def half_close(self, direction: int) -> None:
        """End one direction of every connection; the other goes on."""
        with self._lock:
            pairs = list(self._open)
        for pair in pairs:
            with suppress(OSError):
                pair[1 - direction].shutdown(socket.SHUT_WR)

    def hold(self, *directions: int) -> None:
        """Keep what is sent in these directions until `heal`, as a partition does: TCP sends it again then."""
        for direction in directions:
            self._flows[direction].clear()

    def heal(self) -> None:
        """Nothing strange any more; what was held back goes on."""
        self.latency_seconds, self.bytes_per_second = 0.0, None
        self.refuses, self.commits_to_lose = False, 0
        for flow in self._flows:
            flow.set()

    def close(self) -> None:
        """Take nobody any more."""
        self._closed.set()
        self.heal()
        self.cut()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    # ---- connections

    def _take(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if self.refuses or self.target is None:
                return
            self._flows[UP].wait()
            with self.target() as server:
                for one in (client, server):
                    one.settimeout(None)
                    with suppress(OSError):
                        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._open.add((client, server))
                try:
                    back = threading.Thread(target=self._pump, args=(server, client, DOWN), daemon=True)
                    back.start()
                    self._pump(client, server, UP)
                    back.join()
                finally:
                    with self._lock:
                        self._open.discard((client, server))

    def _pump(self, source: socket.socket, sink: socket.socket, direction: int) -> None:
        before = b""
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                self._flows[direction].wait()
                if self.latency_seconds:
                    self._closed.wait(self.latency_seconds)
                if direction == DOWN and self._loses(before + data):
                    for one in (source, sink):
                        one.shutdown(socket.SHUT_RDWR)
                    return
                before = data[-len(_COMMITTED) :]
                self._send(sink, data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def _send(self, sink: socket.socket, data: bytes) -> None:
        left = memoryview(data)
        while left and (rate := self.bytes_per_second):
            piece = max(1, rate // _TRICKLE_PIECES)
            sink.sendall(left[:piece])
            left = left[piece:]
            self._closed.wait(1 / _TRICKLE_PIECES)
        sink.sendall(left)

    def _loses(self, data: bytes) -> bool:
        if not self.commits_to_lose or _COMMITTED not in data:
            return False
        with self._lock:
            lost = self.commits_to_lose > 0
            self.commits_to_lose -= lost
        return lost
