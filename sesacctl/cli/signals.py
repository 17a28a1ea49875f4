"""SIGTERM and Ctrl-C: the first asks a loop to finish its work, the second ends the process at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from sesacctl.errors import INTERRUPTED_TWICE

_STDERR, _SHOW_CURSOR = 2, b"\x1b[?25h"


def stop_event() -> threading.Event:
    """An event that the first signal sets; the second exits 130. Call it in the main thread."""
    stop = threading.Event()
    signals: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        if len(signals) > 1:
            if os.isatty(_STDERR):  # a live screen hides the cursor, and will not end in order
                os.write(_STDERR, _SHOW_CURSOR)
            os._exit(INTERRUPTED_TWICE)
        # In a thread: the handler may run while the main thread holds the event's own lock.
        threading.Thread(target=stop.set, name="stop", daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return stop
