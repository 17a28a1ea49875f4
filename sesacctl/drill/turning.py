"""Which parts of the loop turn already on this stack, started by somebody else."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sesacctl.broker.glance import glance
from sesacctl.broker.groups import Place, places
from sesacctl.cache.connections import connect as connect_redis
from sesacctl.cache.state import CacheState, read_state
from sesacctl.heartbeat import read_pulses
from sesacctl.home import IDENTITIES
from sesacctl.settings import Settings
from sesacctl.stack.process import is_alive, require

_WATCH_SECONDS = 2.0  # whether orders come
_LATE_SECONDS = 10.0  # that a refresh may be
_SESSION_SECONDS = 12.0  # after which the group forgets members that were killed
_TICK_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Turning:
    """What turns: the cache worker, a producer, consumers, and the pids of the supervisors of this group and home."""

    refresher: bool
    producer: bool
    consumers: bool
    supervisors: tuple[int, ...]


def look(settings: Settings, home: Path, stop: threading.Event) -> Turning:
    """Watch for some seconds; errors as `glance`. Members that nobody here has may be those of a killed supervisor."""
    before = glance(settings, seconds=_WATCH_SECONDS)
    stop.wait(_WATCH_SECONDS)
    after = glance(settings, seconds=_WATCH_SECONDS)
    members, supervisors = places(settings), tuple[int, ...]()
    waited = 0.0
    while members and not (supervisors := _supervisors(home, members)) and waited < _SESSION_SECONDS:
        if stop.wait(_TICK_SECONDS):
            break
        waited += _TICK_SECONDS
        members = places(settings)
    return Turning(
        refresher=_refreshes(settings, home),
        producer=_total(after.ends) > _total(before.ends),
        consumers=bool(members),
        supervisors=supervisors,
    )


def _total(ends: object) -> int:
    return sum(ends.values()) if isinstance(ends, dict) else 0


def _refreshes(settings: Settings, home: Path) -> bool:
    if not any(pulse.alive and pulse.name.startswith("cache-refresh") for pulse in read_pulses(home)):
        return False
    state = _cache(settings)
    if not state.period or state.refreshed_at is None:
        return False
    return (datetime.now(UTC) - state.refreshed_at).total_seconds() < state.period + _LATE_SECONDS


def cache_is_empty(settings: Settings) -> bool:
    """Whether it lacks users or products; errors as `read_state`."""
    return bool(_cache(settings).empty)


def _cache(settings: Settings) -> CacheState:
    redis = connect_redis(settings)
    try:
        return read_state(redis)
    finally:
        redis.close()


def _supervisors(home: Path, members: tuple[Place, ...]) -> tuple[int, ...]:
    """The supervisors on this machine that hold the identity of a member: a heartbeat alone does not name its group."""
    hosts = {place.host for place in members}
    pids = [pulse.pid for pulse in read_pulses(home) if pulse.alive and pulse.name.startswith("consume")]
    return tuple(pid for pid in pids if _identities(pid, home / IDENTITIES) & hosts)


def _identities(pid: int, folder: Path) -> set[str]:
    """The ids whose files it keeps open, as `member_ids.Identity` does."""
    psutil, found = require("psutil"), set[str]()
    with suppress(psutil.Error, OSError):
        process = psutil.Process(pid)
        for file in process.open_files() if is_alive(process) else ():
            path = Path(file.path)
            if path.parent == folder.resolve():
                found.add(path.stem if path.suffix == ".name" else path.read_text("ascii").strip())
    return found
