"""What loops leave in the stack's folder: heartbeats, the supervisors' ids, samples of the lag."""

from __future__ import annotations

import fcntl
from pathlib import Path

from sesacctl import heartbeat
from sesacctl.home import IDENTITIES, LAG_SAMPLES

FOLDERS = (heartbeat.FOLDER, IDENTITIES, LAG_SAMPLES)


def clear(home: Path) -> list[Path]:
    """Delete it, but for what a loop that runs on this machine uses: returns that.

    Raises:
        OSError: something cannot be deleted.
    """
    left = []
    for folder in (home / name for name in FOLDERS):
        if not folder.is_dir():
            continue
        files = [path for path in sorted(folder.iterdir()) if path.is_file()]
        used = {path.stem for path in files if _is_locked(path)}
        if folder.name == heartbeat.FOLDER:
            used |= heartbeat.in_use(home)
        for path in files:
            if path.stem in used:
                left.append(path)
            else:
                path.unlink(missing_ok=True)
        if not any(folder.iterdir()):
            folder.rmdir()
    return left


def _is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
