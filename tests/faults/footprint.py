"""How much memory and how many descriptors the loop's processes have, from the begin of a storm to its end."""

from __future__ import annotations

import statistics
import threading
from collections import defaultdict
from contextlib import suppress

import psutil

from tests.faults.site import Site

_EVERY_SECONDS = 5.0


class Footprint:
    """Looks at all processes of each command; `drift` compares the last third of the looks with the first."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._bytes: dict[str, list[float]] = defaultdict(list)
        self._descriptors: dict[str, list[float]] = defaultdict(list)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="footprint", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def drift(self) -> dict[str, tuple[float, float, float, float]]:
        """By command, the medians of a process: bytes at first and at last, descriptors at first and at last."""
        return {name: (*_ends(found), *_ends(self._descriptors[name])) for name, found in self._bytes.items()}

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_SECONDS):
            for name, child in self._site.children.items():
                with suppress(psutil.Error):
                    if (pid := child.pid) is not None:
                        process = psutil.Process(pid)
                        family = [process, *process.children(recursive=True)]
                        sizes = [each.memory_info().rss for each in family]
                        self._bytes[name].append(statistics.fmean(sizes))
                        self._descriptors[name].append(statistics.fmean(each.num_fds() for each in family))


def _ends(values: list[float]) -> tuple[float, float]:
    third = max(1, len(values) // 3)
    return statistics.median(values[:third]), statistics.median(values[-third:])
