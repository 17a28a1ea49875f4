"""SIGTERM and Ctrl-C: the first asks a loop to finish its work, the second ends the process at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

from sesacctl.errors import INTERRUPTED_TWICE


def stop_event() -> threading.Event:
    """An event that the first signal sets; the second exits 130. Call it in the main thread."""
    stop = threading.Event()
    signals: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        if len(signals) > 1:
            os._exit(INTERRUPTED_TWICE)
        # In a thread: the handler may run while the main thread holds the event's own lock.
        threading.Thread(target=stop.set, name="stop", daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    return stop
