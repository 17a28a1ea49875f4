"""Something that listens on a port and is none of our servers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Listener:
    """Takes connections on a port of 127.0.0.1; says `words` to each, or nothing at all, or hangs up."""

    def __init__(self, words: bytes = b"", *, hang_up: bool = False) -> None:
        self._words, self._hang_up = words, hang_up
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._taken: list[socket.socket] = []
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._take, daemon=True).start()

    @property
    def used(self) -> bool:
        """Whether somebody has connected."""
        return bool(self._taken)

    def _take(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with suppress(OSError):  # the other side may have gone already
                connection.sendall(self._words)
            self._taken.append(connection)
            if self._hang_up:
                connection.close()

    def close(self) -> None:
        """Hang up."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._taken:
            connection.close()


@contextmanager
def listener(words: bytes = b"", *, hang_up: bool = False) -> Iterator[Listener]:
    """One for the time of the block."""
    made = Listener(words, hang_up=hang_up)
    try:
        yield made
    finally:
        made.close()
