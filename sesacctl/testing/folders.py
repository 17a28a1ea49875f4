"""Folders for servers that tests start: in memory where there is room, as databases and topics are many files."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev") / "shm"
_ROOM = 4 << 30  # the servers of a run need half of it, the processes of its tests as much again


def make_folder(prefix: str = "sesac-") -> Path:
    """A new one with a short path, as sockets need; the caller deletes it."""
    return Path(tempfile.mkdtemp(prefix=prefix, dir=parent()))


def parent() -> Path:
    """Where they are made."""
    in_memory = _MEMORY.is_mount() and os.access(_MEMORY, os.W_OK | os.X_OK)
    if in_memory and min(shutil.disk_usage(_MEMORY).free, available_bytes() or 0) > _ROOM:
        return _MEMORY
    return Path(tempfile.gettempdir())


def available_bytes() -> int | None:
    """Memory that new programs can have, as the kernel estimates it; None where it does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) << 10 if found else None
