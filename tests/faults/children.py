"""What the processes of a storm have of the developer's environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tests.helpers.servers import INHERITED

ROOT = Path(__file__).resolve().parent.parent.parent


def bare_environment(values: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the developer's, and the code beside this file: a copy with a planted bug runs the copy."""
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", "NO_COLOR": "1", "COLUMNS": "200", "PYTHONPATH": str(ROOT), **values}
