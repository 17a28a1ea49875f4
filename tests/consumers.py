"""A look at running consumers from outside."""

from __future__ import annotations

import psutil

from sesacctl.settings import Settings
from tests.events import query


def stored(settings: Settings) -> int:
    """Events stored by all groups, by the counters."""
    return int(query(settings, "SELECT coalesce(sum(stored), 0) FROM sink_offsets")[0][0])


def instances(supervisor: int) -> list[int]:
    """The pids of the consumer processes: children of the supervisor's fork server."""
    [server] = [child for child in psutil.Process(supervisor).children() if "forkserver" in " ".join(child.cmdline())]
    return sorted(child.pid for child in server.children())
