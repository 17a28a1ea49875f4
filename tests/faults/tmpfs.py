"""A disk that can be made full: a tmpfs whose size is changed while it is in use."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

_ROOMY = 4 * 2**30  # bytes
_PAGE = 4096
_SOME_PAGES = 16 * _PAGE  # what is left of a full one


class SmallDisk:
    """Mounted over `folder`, with what was in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def mount(self) -> None:
        """Mount it; nobody may use the folder meanwhile."""
        before = self._folder.with_name(f"{self._folder.name}.before")
        self._folder.rename(before)
        self._folder.mkdir()
        _run("mount", "-t", "tmpfs", "-o", f"size={_ROOMY}", "tmpfs", str(self._folder))
        status = before.stat()
        os.chown(self._folder, status.st_uid, status.st_gid)
        self._folder.chmod(status.st_mode & 0o7777)
        _run("cp", "-a", f"{before}/.", str(self._folder))
        shutil.rmtree(before)

    def fill(self) -> None:
        """Have it be full."""
        used = os.statvfs(self._folder)
        self._resize((used.f_blocks - used.f_bfree) * used.f_frsize + _SOME_PAGES)

    def free(self) -> None:
        """Have it be roomy."""
        self._resize(_ROOMY)

    def unmount(self) -> None:
        """Take it away, with what is on it."""
        _run("umount", "--lazy", str(self._folder))

    def _resize(self, size: int) -> None:
        _run("mount", "-o", f"remount,size={size}", str(self._folder))


@cache
def why_not() -> str:
    """Why this process can have none; empty if it can."""
    with tempfile.TemporaryDirectory() as folder:
        disk = SmallDisk(Path(folder) / "disk")
        (Path(folder) / "disk").mkdir()
        try:
            disk.mount()
        except (OSError, subprocess.CalledProcessError):
            return "a tmpfs cannot be mounted"
        disk.unmount()
    return ""


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
