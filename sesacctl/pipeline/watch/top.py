"""The whole loop, a stage after the other: how fast, how old, how much waits, and which stage holds the others up."""

from __future__ import annotations

import time
from collections import deque
from datetime import UTC, datetime

from sesacctl.database.location import locate
from sesacctl.events import ORDERS
from sesacctl.pipeline.sink.counts import PartitionKey
from sesacctl.pipeline.watch.bottleneck import Verdict
from sesacctl.pipeline.watch.observation import Observation, observe
from sesacctl.pipeline.watch.screen import Screen, Stage, log_ends, partition_lines, share_by_host
from sesacctl.settings import Settings

HISTORY = 30
"""So many rates of the past are kept."""
YOUNG_SECONDS = 2.0
"""An event that is younger is on its way, and does not count as backlog."""


# Key, title, the servers it needs, unit of the rate, unit of the backlog.
_STAGES = (
    ("source", "database", ("PostgreSQL",), "rows", "never cached"),
    ("refresh", "refresh", ("PostgreSQL", "Redis"), "rows", "rounds late"),
    ("cache", "cache", ("Redis",), "commands", "rows short"),
    ("produce", "produce", ("Kafka",), "orders", ""),
    ("broker", "broker", ("Kafka",), "events", "not in sync"),
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
        self._looks: deque[Observation] = deque()
        self._verdict = Verdict()
        self._history = {key: deque[float](maxlen=HISTORY) for key, *_ in _STAGES}

    def run_once(self) -> Screen:
        """One look, within the bound of `observe`."""
        return self.screen(observe(self._settings))

    def screen(self, seen: Observation) -> Screen:
        """What one look shows beside those before it; from now on, it is one of them."""
        stages = self._stages(seen)
        empty = seen.redis.cache.empty if seen.redis else ()
        bottleneck, reason = self._verdict.after({stage.key: stage for stage in stages}, empty)
        kafka, database = seen.kafka, seen.database
        screen = Screen(
            at=datetime.now(UTC),
            database=self._database,
            group=self._settings.kafka_group,
            stages=stages,
            bottleneck=bottleneck,
            reason=reason,
            hosts=None if kafka is None or kafka.group_problem else share_by_host(kafka.places),
            partitions=partition_lines(seen, self._looks[-1] if self._looks else None),
            brokers_up=len(kafka.brokers) if kafka else None,
            brokers=len({*kafka.brokers, *kafka.replica_brokers}) if kafka else None,
            members=kafka.members if kafka and not kafka.group_problem else None,
            dead_letters=database.dead_letters if database else None,
        )
        self._remember(seen)
        return screen

    def _remember(self, seen: Observation) -> None:
        """Keep the look, and those before it as far back as the newest that is old enough to tell what is old."""
        self._looks.append(seen)
        while len(self._looks) > 2 and seen.at - self._looks[1].at >= YOUNG_SECONDS:
            self._looks.popleft()

    def _stages(self, seen: Observation) -> list[Stage]:
        rates = self._rates(seen)
        ages, backlogs = _ages(seen, rates.get("broker")), _backlogs(seen, self._old_ends(seen))
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
        return stages

    def _old_ends(self, seen: Observation) -> dict[PartitionKey, int] | None:
        """Where the logs ended when what is old now came; None if nobody looked then."""
        before = [each for each in self._looks if each.partitions is not None]
        if not before:
            return None
        old = [each for each in before if seen.at - each.at >= YOUNG_SECONDS]
        return {part.key: part.log_end for part in (old[-1] if old else before[0]).partitions or []}

    def _rates(self, seen: Observation) -> dict[str, float]:
        if not self._looks:
            return {}
        last = self._looks[-1]
        seconds, before, now = seen.at - last.at, self._counters(last), self._counters(seen)
        changes = {key: (now[key] - before[key]) / seconds for key in now if key in before}
        if seen.redis and "refresh" in changes:  # of generations, each of as many rows as there are now
            changes["refresh"] *= sum(each.rows for each in seen.redis.cache.hashes)
        # A counter that went back was reset.
        return {key: round(rate, 1) for key, rate in changes.items() if rate >= 0}

    def _counters(self, seen: Observation) -> dict[str, int]:
        """What only grows, by the stage whose rate it is."""
        counters: dict[str, int] = {}
        if seen.database:
            counters["source"] = sum(seen.database.inserted.values())
        if seen.redis:
            counters["refresh"] = seen.redis.cache.generation or 0
            if seen.redis.commands is not None:
                counters["cache"] = seen.redis.commands
        if seen.partitions is not None:
            counters["consume"] = sum(each.taken for each in seen.partitions)
            counters["sink"] = sum(each.counts.stored for each in seen.partitions)
        if ends := log_ends(seen):
            orders = self._settings.topic(ORDERS)
            counters["produce"] = sum(end for (topic, _), end in ends.items() if topic == orders)
            counters["broker"] = sum(ends.values())
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


def _backlogs(seen: Observation, old_ends: dict[PartitionKey, int] | None) -> dict[str, int | None]:
    """What waits; of events, those that are not young. At the first look, none is known to be old."""
    backlogs: dict[str, int | None] = {"consume": None}
    if seen.partitions is not None and old_ends is not None:
        backlogs["consume"] = sum(
            max(0, min(part.lag, old_ends.get(part.key, 0) - (part.log_start if part.next is None else part.next)))
            for part in seen.partitions
        )
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
