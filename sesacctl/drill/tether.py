"""A command that ends, as on SIGTERM, when what started it is gone: `python -m sesacctl.drill.tether consume`.

Its standard input is a pipe that nobody writes to, and that the system closes with the process at the other end.
"""

from __future__ import annotations

import os
import runpy
import signal
import threading

_STDIN = 0


def _end_with_the_other_end() -> None:
    while os.read(_STDIN, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_other_end, name="tether", daemon=True).start()
    runpy.run_module("sesacctl", run_name="__main__", alter_sys=True)
