"""Several hosts of one consumer group, as threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sesacctl.pipeline.supervise.member import ConsumeFigures, ConsumeReport
from sesacctl.pipeline.supervise.supervisor import Supervisor
from sesacctl.settings import Settings


class Host:
    """A supervisor with a home of its own, in a thread; `error` is what ended it."""

    def __init__(self, settings: Settings, home: Path) -> None:
        self.reports: list[ConsumeReport] = []
        self.error: BaseException | None = None
        self.stop = threading.Event()
        self._supervisor = Supervisor(settings.model_copy(update={"sesac_home": home}), instances=3)
        self.thread = threading.Thread(target=self._work)
        self.thread.start()

    def _work(self) -> None:
        try:
            self._supervisor.run(self.stop, on_report=self.reports.append, interval=0.1)
        except BaseException as error:
            self.error = error

    def everything(self) -> ConsumeFigures:
        """All figures as of now."""
        return self._supervisor.everything()

    def owned(self, topic: str) -> int:
        """How many partitions of a topic its instances have."""
        lines = self.reports[-1].instances if self.reports else ()
        return sum(name.startswith(f"{topic}-") for line in lines for name in line.partitions)

    def has_restarted(self, times: int) -> bool:
        return bool(self.reports) and self.reports[-1].restarts == times


@contextmanager
def hosts(settings: Settings, *homes: Path) -> Iterator[list[Host]]:
    """Supervisors that start at the same time."""
    found = [Host(settings, home) for home in homes]
    try:
        yield found
    finally:
        for host in found:
            host.stop.set()
        for host in found:
            host.thread.join(60)
