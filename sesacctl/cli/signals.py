"""What a terminal and a service manager send: finish the work, end at once, stand still, continue."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from sesacctl.errors import INTERRUPTED_TWICE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live

    from sesacctl.cli.keys import Keys

_STDOUT, _STDERR, _SHOW_CURSOR = 1, 2, b"\x1b[?25h"
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
before_exit: list[Callable[[], None]] = []
"""What leaves the terminal as it was, should the process end at once."""


def stop_event(*, only_once: bool = False) -> threading.Event:
    """An event that the first SIGTERM, SIGINT or SIGHUP sets; the second exits 130. Call it in the main thread.

    SIGHUP stays ignored where it was, as under nohup. `only_once`: further ones are ignored, as what must not be left
    half done is put right then.
    """
    stop = threading.Event()
    signals: list[int] = []
    terminals = [each for each in (_STDOUT, _STDERR) if os.isatty(each)]

    def on_signal(number: int, _frame: FrameType | None) -> None:
        signals.append(number)
        for gone in [each for each in terminals if not os.isatty(each)]:  # closed: that is what SIGHUP says
            os.dup2(os.open(os.devnull, os.O_WRONLY), gone)
        if len(signals) > 1 and only_once:
            return
        if len(signals) > 1:
            if os.isatty(_STDERR):  # a live screen hides the cursor, and will not end in order
                os.write(_STDERR, _SHOW_CURSOR)
            for restore in list(before_exit):
                restore()
            os._exit(INTERRUPTED_TWICE)
        # In a thread: the handler may run while the main thread holds the event's own lock.
        threading.Thread(target=stop.set, name="stop", daemon=True).start()

    for number in STOP_SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, on_signal)
    return stop


@contextmanager
def job_control(console: Console, live: Live | None = None, keys: Keys | None = None) -> Iterator[None]:
    """Ctrl-Z shows the cursor before it stops the process; `fg` hides it, and draws the live screen where it is then.

    `keys` are given back meanwhile. Call it in the main thread.
    """

    def on_stop(_number: int, _frame: FrameType | None) -> None:
        shown = live.renderable if live else None
        if live:
            live.update("", refresh=True)  # one line: so drawing it again begins where the cursor is then
        console.show_cursor(True)
        if keys:
            keys.give_back()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, on_stop)
        if keys:
            keys.take()
        console.show_cursor(False)
        if live and shown is not None:
            live.update(shown, refresh=True)

    before = signal.signal(signal.SIGTSTP, on_stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, before)
