"""The local stack with the jars of another lock: `python -m tests.compat.up LOCK HOME`.

Java makes no start-up cache of them: that takes as long as it would spare the one start that there is.
"""

from __future__ import annotations

import sys
from pathlib import Path
from unittest.mock import patch

from sesacctl.stack import jars, java, stack

if __name__ == "__main__":
    with (
        patch.object(jars, "LOCK", str(Path(sys.argv[1]).resolve())),
        patch.object(java, "ensure_cache", lambda *_, **__: None),
    ):
        stack.up(Path(sys.argv[2]), on_step=print)
