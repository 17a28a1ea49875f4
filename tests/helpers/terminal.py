"""A program on a terminal of its own: what it shows, and keys for it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.helpers.waiting import BUSY_SECONDS, wait_until

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]|\x1b\][^\x07]*\x07|\x1b[=>()][0-9AB]?")


class Terminal:
    """The screen's side of a pseudo-terminal; what was shown is read without colours and moves."""

    def __init__(self, process: subprocess.Popen[bytes], ours: int) -> None:
        self.process = process
        self.fd = ours
        self._raw = b""

    def read(self) -> str:
        """Everything that was shown up to now."""
        with suppress(OSError):  # the other side is closed
            while select.select([self.fd], [], [], 0)[0] and (chunk := os.read(self.fd, 65536)):
                self._raw += chunk
        return _ESCAPES.sub("", self.raw)

    @property
    def raw(self) -> str:
        """What has been read, as it came."""
        return self._raw.decode("utf-8", "replace")

    def press(self, keys: str) -> None:
        """Type."""
        os.write(self.fd, keys.encode())

    def wait_for(self, text: str, *, after: int = 0, timeout: float = 60.0 + BUSY_SECONDS) -> int:
        """The number of characters that were shown when `text` was, behind the first `after`."""

        def seen() -> bool:
            return text in self.read()[after:]

        wait_until(seen, timeout, f"{text!r} in {self.read()[after:][-2000:]!r}")
        return len(self.read())

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed, as it does for a shell."""
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)


@contextmanager
def on_terminal(
    command: Sequence[str], *, env: Mapping[str, str], cwd: Path, columns: int = 80, lines: int = 24
) -> Iterator[Terminal]:
    """Run it there; it is killed at the end of the block if it still runs."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        ["setsid", "-c", *command],  # the terminal is its own, as a shell needs it
        env={**env, "TERM": "xterm", "COLUMNS": str(columns), "LINES": str(lines)},
        cwd=cwd,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
