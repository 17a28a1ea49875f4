"""Folders for servers that tests start: in memory where there is room, as databases and topics are many files."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ROOM = 4 << 30  # the servers of a run need half of it, the processes of its tests as much again


def make_folder(prefix: str = "sesac-") -> Path:
    """A new one with a short path, as sockets need; whoever asks deletes it."""
    return Path(tempfile.mkdtemp(prefix=prefix, dir=_MEMORY if _has_room(_MEMORY) else None))


def _has_room(memory: Path) -> bool:
    if not (memory.is_mount() and os.access(memory, os.W_OK | os.X_OK)):
        return False
    found = re.search(r"^MemAvailable: +(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    available = int(found[1]) << 10 if found else 0
    return min(shutil.disk_usage(memory).free, available) > _ROOM
