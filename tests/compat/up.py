"""The local stack with another version of Kafka: `python -m tests.compat.up VERSION HOME`.

Java makes no start-up cache for it: that takes as long as it would spare the one start that there is.
"""

from __future__ import annotations

import sys
from pathlib import Path
from unittest.mock import patch

from sesacctl.stack import java, stack
from sesacctl.stack.layout import Layout, State

if __name__ == "__main__":
    layout = Layout(Path(sys.argv[2]))
    layout.create()
    layout.save(State(kafka=sys.argv[1]))
    with patch.object(java, "ensure_cache", lambda *_, **__: None):
        stack.up(layout.home, on_step=print)
