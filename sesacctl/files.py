"""Files that operators name: whatever lies there, reading ends, and nothing but a file is replaced."""

from __future__ import annotations

import errno
import io
import os
import select
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TextIO

_PIPE_SECONDS = 10
_MOST_BYTES = 1 << 30
_CHUNK_BYTES = 1 << 20


def open_to_read(path: Path) -> io.BufferedReader:
    """The file, to read bytes; a named pipe into which nobody writes is not waited for without end.

    Raises:
        OSError: it cannot be opened, or nothing has come out of the pipe for ten seconds.
    """
    return io.BufferedReader(io.FileIO(path, opener=_open))


def _open(path: str, flags: int) -> int:
    file = os.open(path, flags | os.O_NONBLOCK)
    try:
        if stat.S_ISFIFO(os.fstat(file).st_mode):
            _wait_for_writer(file, path)
        os.set_blocking(file, True)
    except OSError:
        os.close(file)
        raise
    return file


def _wait_for_writer(file: int, path: str) -> None:
    came = select.poll()
    came.register(file, select.POLLIN)
    if not came.poll(_PIPE_SECONDS * 1000):
        raise OSError(errno.ETIMEDOUT, "Nobody writes into this pipe", path)


def require_file(path: Path) -> None:
    """Return if a file is there: other programs can be given it, and read it more than once.

    Raises:
        OSError: nothing is there, or a folder, a device or a pipe.
    """
    _require_file(path, path.stat().st_mode)


def read_bytes(path: Path) -> bytes:
    """All of the file, as far as it has an end.

    Raises:
        OSError: it cannot be read, nobody writes into the pipe, or it has more than 1 GiB.
    """
    with open_to_read(path) as file:
        return read_all(file, str(path))


def read_all(file: BinaryIO, name: str) -> bytes:
    """What is left in `file`, which `name` names.

    Raises:
        OSError: it cannot be read, or has more than 1 GiB.
    """
    found = bytearray()
    while part := file.read(_CHUNK_BYTES):
        found += part
        if len(found) > _MOST_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), name)
    return bytes(found)


@contextmanager
def replacing(path: Path, *, mode: int = 0o666) -> Iterator[TextIO]:
    """A file to write, which takes the place of `path` at the end of the block, whole or not at all; a link stays one.

    Raises:
        OSError: it cannot be written, or what is there is not a file: a device or a pipe would be gone for all others.
    """
    _require_replaceable(path)
    target = Path(os.path.realpath(path))
    new = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            yield file
        new.replace(target)
    finally:
        with suppress(OSError):
            new.unlink()


def _require_replaceable(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    _require_file(path, mode)


def _require_file(path: Path, mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "It is a device or a pipe, not a file", str(path))
