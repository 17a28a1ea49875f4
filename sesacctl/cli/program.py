"""The name by which this program can be called again: hints are to be typed as they stand."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from contextlib import suppress
from pathlib import Path

_COMMAND = re.compile(r"\bsesacctl(?= [a-z-])")


def as_typed(hint: str) -> str:
    """`hint` with its commands by the path that was typed, where a shell would not find `sesacctl`, or another one."""
    path = Path(sys.argv[0])
    if path.name != "sesacctl" or len(path.parts) == 1 or _is_found(path):
        return hint
    return _COMMAND.sub(lambda _: shlex.quote(str(path)), hint)


def _is_found(path: Path) -> bool:
    found = shutil.which("sesacctl")
    with suppress(OSError):
        return found is not None and path.samefile(found)
    return False
