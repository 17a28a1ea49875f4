"""The whole loop, a stage after the other: how fast, how old, how much waits, and which stage holds the others up."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sesacctl import formatting
from sesacctl.broker.groups import Place
from sesacctl.database.location import locate
from sesacctl.pipeline.watch.observation import Observation, observe
from sesacctl.settings import Settings

HISTORY = 30
"""So many rates of the past are kept."""
_KEEPS_UP = 0.95
_DRAIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One column: rate per second in `unit`s, age in seconds, and what waits, in `backlog_unit`s.

    A figure is None when it is not known: rates at the first look, everything while a server is away (`problem`).
    """

    key: str
    title: str
    rate: float | None
    unit: str
    age: float | None
    backlog: int | None
    backlog_unit: str
    history: tuple[float, ...]
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostShare:
    """A supervisor of the consumer group: where Kafka sees it, how many members it has, and how many partitions.

    `partitions` are by topic; none of a topic is not there.
    """

    host: str
    address: str
    members: int
    partitions: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """All stages in the loop's order; `bottleneck` is the key of the one that holds the others up.

    `hosts` is None while Kafka does not tell.
    """

    at: datetime
    database: str
    group: str
    stages: list[Stage]
    bottleneck: str | None
    reason: str
    hosts: list[HostShare] | None


# Key, title, the servers it needs, unit of the rate, unit of the backlog.
_STAGES = (
    ("source", "database", ("PostgreSQL",), "rows", "never cached"),
    ("refresh", "refresh", ("PostgreSQL", "Redis"), "rows", "rounds late"),
    ("cache", "cache", ("Redis",), "commands", "rows short"),
    ("produce", "produce", ("Kafka", "loop"), "orders", ""),
    ("broker", "broker", ("Kafka", "loop"), "events", "not in sync"),
    ("consume", "consume", ("loop",), "events", "lag"),
    ("sink", "database", ("PostgreSQL", "loop"), "rows", "parked"),
)


class Top:
    """Remembers the looks before, for rates and their history."""

    def __init__(self, settings: Settings) -> None:
        """Read nothing yet.

        Raises:
            ConfigurationError: a variable that this `DB_TYPE` needs is not set.
        """
        self._settings = settings
        self._database = locate(settings).database
        self._last: Observation | None = None
        self._history = {key: deque[float](maxlen=HISTORY) for key, *_ in _STAGES}

    def run_once(self) -> Screen:
        """One look, within the bound of `observe`."""
        seen = observe(self._settings)
        screen = self.screen(seen)
        self._last = seen
        return screen

    def screen(self, seen: Observation) -> Screen:
        """What one look shows beside the one before."""
        rates = self._rates(seen)
        ages, backlogs = _ages(seen, rates.get("broker")), _backlogs(seen)
        stages = []
        for key, title, needs, unit, backlog_unit in _STAGES:
            rate = rates.get(key)
            if rate is not None:
                self._history[key].append(rate)
            away = [str(seen.problems[server]) for server in needs if server in seen.problems]
            stages.append(
                Stage(
                    key=key,
                    title=title,
                    rate=rate,
                    unit=unit,
                    age=ages.get(key),
                    backlog=backlogs.get(key),
                    backlog_unit=backlog_unit,
                    history=tuple(self._history[key]),
                    problem=away[0] if away else None,
                )
            )
        bottleneck, reason = find_bottleneck(stages, seen.redis.cache.empty if seen.redis else ())
        return Screen(
            at=datetime.now(UTC),
            database=self._database,
            group=self._settings.kafka_group,
            stages=stages,
            bottleneck=bottleneck,
            reason=reason,
            hosts=None if seen.kafka is None or seen.kafka.group_problem else share_by_host(seen.kafka.places),
        )

    def _rates(self, seen: Observation) -> dict[str, float]:
        if self._last is None:
            return {}
        seconds, before, now = seen.at - self._last.at, _counters(self._last), _counters(seen)
        changes = {key: (now[key] - before[key]) / seconds for key in now if key in before}
        if seen.redis and "refresh" in changes:  # of generations, each of as many rows as there are now
            changes["refresh"] *= sum(each.rows for each in seen.redis.cache.hashes)
        # A counter that went back was reset.
        return {key: round(rate, 1) for key, rate in changes.items() if rate >= 0}


def share_by_host(places: Iterable[Place]) -> list[HostShare]:
    """What each host of the group has, by the names of the hosts."""
    hosts: dict[str, list[Place]] = {}
    for place in places:
        hosts.setdefault(place.host, []).append(place)
    return [
        HostShare(
            host=host,
            address=", ".join(sorted({place.address for place in found})),
            members=len(found),
            partitions=dict(sorted(Counter(topic for place in found for topic, _ in place.partitions).items())),
        )
        for host, found in sorted(hosts.items())
    ]


def _counters(seen: Observation) -> dict[str, int]:
    """What only grows, by the stage whose rate it is."""
    counters: dict[str, int] = {}
    if seen.database:
        counters["source"] = sum(seen.database.inserted.values())
    if seen.redis:
        counters["refresh"] = seen.redis.cache.generation or 0
        if seen.redis.commands is not None:
            counters["cache"] = seen.redis.commands
    if seen.partitions is not None:
        counters["produce"] = sum(each.log_end for each in seen.partitions if each.kind == "orders")
        counters["broker"] = sum(each.log_end for each in seen.partitions)
        counters["consume"] = sum(each.taken for each in seen.partitions)
        counters["sink"] = sum(each.counts.stored for each in seen.partitions)
    return counters


def _ages(seen: Observation, arrivals: float | None) -> dict[str, float | None]:
    ages: dict[str, float | None] = {"refresh": seen.cache_age, "cache": seen.cache_age}
    if seen.database:
        ages["source"] = max((age for age in seen.database.oldest_turn.values() if age is not None), default=None)
        ages["sink"] = seen.database.stored_age
    if seen.kafka and seen.kafka.newest_event:
        ages["produce"] = ages["broker"] = time.time() - seen.kafka.newest_event
    if seen.lag is not None and (arrivals or not seen.lag):
        # Little's law (Operations Research 9, 1961): what waits = how fast it comes in x how long it has waited.
        ages["consume"] = seen.lag / arrivals if arrivals else 0.0
    return {key: None if age is None else round(max(0.0, age), 1) for key, age in ages.items()}


def _backlogs(seen: Observation) -> dict[str, int | None]:
    backlogs: dict[str, int | None] = {"consume": seen.lag}
    if seen.database:
        backlogs["source"] = sum(seen.database.never_cached.values())
        backlogs["sink"] = seen.database.parked
    if seen.redis and seen.database:
        cache, rows = seen.redis.cache, seen.database.rows
        backlogs["cache"] = sum(max(0, min(cache.size, rows[each.table]) - each.rows) for each in cache.hashes)
    if seen.redis and seen.cache_age is not None:
        period = seen.redis.cache.period
        backlogs["refresh"] = int(max(0.0, seen.cache_age - period) // period) if period else 0
    if seen.kafka:
        backlogs["broker"] = seen.kafka.under_replicated
    return backlogs


def find_bottleneck(stages: list[Stage], empty: Sequence[str]) -> tuple[str | None, str]:
    """The bottleneck, and why: what is unreachable comes first, then what is stalled, then what is slow.

    `empty`: tables of which the cache has no row.
    """
    return next(_suspects({stage.key: stage for stage in stages}, empty), (None, "every stage keeps up"))


def _suspects(stages: dict[str, Stage], empty: Sequence[str]) -> Iterator[tuple[str, str]]:
    for key, stage in stages.items():
        if stage.problem:
            yield key, stage.problem
    refresh, broker, consume = (stages[key] for key in ("refresh", "broker", "consume"))
    if empty:
        yield "cache", f"no {' and '.join(empty)} in it: sesacctl cache refresh"
    if refresh.backlog:
        yield "refresh", f"{formatting.plural(refresh.backlog, 'round')} late: sesacctl cache refresh --loop 50"
    if broker.backlog:
        yield "broker", f"{formatting.plural(broker.backlog, 'partition')} under-replicated: sesacctl health"
    if consume.backlog and consume.rate is not None and broker.rate is not None:
        waiting = f"{formatting.plural(consume.backlog, 'event')} waiting"
        if not consume.rate:
            yield "consume", f"{waiting}, none is stored: sesacctl consume"
        elif consume.rate < _KEEPS_UP * broker.rate and consume.backlog > broker.rate:
            yield "consume", f"{waiting}, {broker.rate - consume.rate:,.0f} a second come in that are not stored"
        elif consume.backlog > _DRAIN_SECONDS * consume.rate:
            yield "consume", f"{waiting}, {formatting.duration_text(consume.backlog / consume.rate)} at this rate"
