"""What happens to each stage while a fault is there, from looks at the loop alone: pure, without any server or clock.

Times are by the monotonic clock; a look that failed says so by None.
"""

from __future__ import annotations

from collections.abc import Iterator

from sesacctl.drill.sights import CacheLook, DatabaseLook, KafkaLook, Look, ProcessLook
from sesacctl.drill.stages import STAGES, Moment, Stage, StageRecovery, State
from sesacctl.formatting import plural
from sesacctl.pipeline.sink.counts import Counts, PartitionKey

SETTLE_SECONDS = 2.0
"""What a fault may take until it is seen: before that, nothing counts as recovered."""
_LONGEST_PAUSE, _CALM_PAUSE = 1.5, 5.0  # of what moves many times a second, and before the fault
_MANY_WAITING = 1_000


class Timeline:
    """Takes looks in the order in which they came, and says what is new; the fault is at `began`."""

    def __init__(self, *, instances: int, members: int, brokers: int) -> None:
        """How many there are of each while all is well."""
        self._usual = {"instances": instances, "members": members, "brokers": brokers}
        self._states: dict[Stage, State] = {stage: State(stage) for stage in STAGES}
        self._instances, self._members = instances, members
        self._brokers = (brokers, 0)
        self._generation: int | None = None
        self._refresh_is_due = False
        self._ends: dict[PartitionKey, int] = {}
        self._stored: dict[PartitionKey, int] = {}
        self._grown_at: float | None = None
        self._moved_at: dict[PartitionKey, float] = {}
        self._gaps: list[float] = []  # in what moves, before the fault
        self._pause = _CALM_PAUSE
        self._standing = 0
        self._produces = True
        self._counts = self._before = Counts()
        self._target: dict[PartitionKey, int] | None = None
        self.began: float | None = None
        self.healed: float | None = None
        self.recovered: float | None = None
        self.most_waiting = 0
        self._many_waiting = False

    # ---- what the drill does

    def begin(self, at: float) -> None:
        """The fault is injected now."""
        self.began, self._before = at, self._counts
        self._pause = max(_LONGEST_PAUSE, 2 * max(self._gaps, default=0.0))
        self.most_waiting = 0

    def begin_calm(self) -> None:
        """Pauses that were seen before are not usual; longer ones than twice those that come now will be."""
        self._gaps.clear()

    def heal(self, at: float) -> None:
        """It is over now, or has healed itself."""
        self.healed, self._target = at, None

    def end_producing(self) -> None:
        """From now on nothing has to be sent."""
        self._produces = False

    def moment(self, at: float, stage: Stage, text: str) -> Moment:
        """A line at this time."""
        return Moment(round(max(0.0, at - (at if self.began is None else self.began)), 1), stage, text)

    # ---- what is seen

    def see(self, look: Look) -> list[Moment]:
        """What is new with it."""
        if isinstance(look, DatabaseLook):
            news = list(self._see_database(look))
        elif isinstance(look, CacheLook):
            news = list(self._see_cache(look))
        elif isinstance(look, KafkaLook):
            news = list(self._see_kafka(look))
        else:
            news = list(self._see_processes(look))
        return [self.moment(look.at, stage, text) for stage, text in news]

    @property
    def waiting(self) -> int:
        """Events in Kafka that are not stored, as of the last looks."""
        return sum(max(0, end - self._stored.get(key, 0)) for key, end in self._ends.items())

    @property
    def counts(self) -> Counts:
        """What became of offsets since the fault."""
        found = Counts()
        for name in ("stored", "duplicates", "dead", "parked", "expired", "control"):
            setattr(found, name, getattr(self._counts, name) - getattr(self._before, name))
        return found

    @property
    def works(self) -> bool:
        """Whether every stage does."""
        return all(state.down_since is None for state in self._states.values())

    @property
    def trouble(self) -> str:
        """The stages that do not work, as words; empty if all do."""
        names = [stage for stage, state in self._states.items() if state.down_since is not None]
        return f"no sign of work from {', '.join(names)}" if names else ""

    @property
    def is_calm(self) -> bool:
        """Whether all works, orders come, and no more wait than come in a moment."""
        return self.works and self._grown_at is not None and self.waiting < _MANY_WAITING

    @property
    def moves_again(self) -> bool:
        """Whether partitions stood still since the fault, and none does."""
        rows = self._states[Stage.ROWS]
        return rows.down_since is None and any(end > (self.began or 0.0) for _, end in rows.outages)

    def recoveries(self, at: float) -> list[StageRecovery]:
        """How each stage came through, at this time."""
        began = at if self.began is None else self.began
        return [state.recovery(began, at) for state in self._states.values()]

    def _put(self, stage: Stage, at: float, *, works: bool, since: float | None = None) -> bool:
        """Whether that is new; what stops working begins recovering from there."""
        new = self._states[stage].put(at, works=works, since=since)
        if new and not works:
            self._target = self.recovered = None
            self._refresh_is_due = self._refresh_is_due or stage in (Stage.DATABASE, Stage.CACHE)
        return new

    def _see_database(self, look: DatabaseLook) -> Iterator[tuple[Stage, str]]:
        if self._put(Stage.DATABASE, look.at, works=look.offsets is not None):
            yield Stage.DATABASE, "PostgreSQL does not answer" if look.offsets is None else "PostgreSQL answers again"
        if look.offsets is not None:
            yield from self._see_refusals(look.counts)
            for key, offset in look.offsets.items():
                if offset != self._stored.get(key):
                    self._note_gap(look.at, self._moved_at.get(key))
                    self._moved_at[key] = look.at
                self._stored[key] = offset
        yield from self._see_rows(look.at)
        self._see_recovery(look.at)

    def _see_refusals(self, counts: Counts) -> Iterator[tuple[Stage, str]]:
        for name, text in (
            ("dead", "the first messages are refused: dead letters, with their bytes and the reason"),
            ("duplicates", "the first orders came that are stored already: counted as duplicates"),
            ("parked", "the first orders came whose user or product is not there: parked"),
        ):
            first = getattr(self._counts, name) == getattr(self._before, name) < getattr(counts, name)
            if self.began is not None and first:
                yield Stage.ROWS, text
        self._counts = counts

    def _see_rows(self, at: float) -> Iterator[tuple[Stage, str]]:
        standing = list(self._standing_partitions(at))
        behind, total = len(standing), len(self._ends)
        since = min((self._moved_at[key] for key in standing), default=None)
        if self._put(Stage.ROWS, at, works=not behind, since=since) or behind > self._standing:
            yield Stage.ROWS, f"{behind} of {total} partitions stand still" if behind else "all partitions move again"
        self._standing = behind
        waiting = self.waiting
        self.most_waiting = max(self.most_waiting, waiting)
        if self.began is not None and not self._many_waiting and waiting >= _MANY_WAITING:
            self._many_waiting = True
            yield Stage.ROWS, f"{plural(waiting, 'event')} wait in Kafka"

    def _standing_partitions(self, at: float) -> Iterator[PartitionKey]:
        """Those with something to store that have not moved for too long."""
        for key, end in self._ends.items():
            if end <= self._stored.get(key, 0):
                self._moved_at[key] = at  # nothing to do is not standing still
            elif at - self._moved_at.setdefault(key, at) > self._pause:
                yield key

    def _see_cache(self, look: CacheLook) -> Iterator[tuple[Stage, str]]:
        if self._put(Stage.CACHE, look.at, works=bool(look.rows)):
            if look.rows:
                yield Stage.CACHE, f"Redis answers again, with {plural(look.rows, 'row')}"
            else:
                yield Stage.CACHE, "Redis does not answer" if look.rows is None else "the cache is empty"
        if look.generation is not None:
            if self._refresh_is_due and look.generation != self._generation:
                self._refresh_is_due = False
                yield Stage.CACHE, f"refreshed again: generation {look.generation:,}"
            self._generation = look.generation

    def _see_kafka(self, look: KafkaLook) -> Iterator[tuple[Stage, str]]:
        yield from self._see_brokers(look)
        yield from self._see_ends(look)
        if look.members is not None and look.members != self._members:
            self._members = look.members
            self._see_consumers(look.at)
            yield Stage.CONSUMERS, f"{look.members} of {self._usual['members']} members are in the group"

    def _see_brokers(self, look: KafkaLook) -> Iterator[tuple[Stage, str]]:
        if look.brokers is None or look.out_of_sync is None:
            if self._put(Stage.BROKERS, look.at, works=False):
                yield Stage.BROKERS, "Kafka does not answer"
            return
        usual, now = self._usual["brokers"], (look.brokers, look.out_of_sync)
        works = look.brokers >= usual and not look.out_of_sync
        new = self._put(Stage.BROKERS, look.at, works=works)
        if new or now[0] != self._brokers[0]:
            sync = "all copies are in sync" if not now[1] else f"{plural(now[1], 'partition')} lack a copy"
            yield Stage.BROKERS, f"{look.brokers} of {usual} are in service, {sync}"
        self._brokers = now

    def _see_ends(self, look: KafkaLook) -> Iterator[tuple[Stage, str]]:
        grown = look.ends is not None and any(end > self._ends.get(key, -1) for key, end in look.ends.items())
        if look.ends is not None:
            self._ends.update(look.ends)
            if self.healed is not None and look.asked_at >= self.healed and self.works and self._target is None:
                self._target = dict(self._ends)
        if grown or self._grown_at is None:
            before, self._grown_at = self._grown_at, look.at
            self._note_gap(look.at, before)
            if self._put(Stage.PRODUCER, look.at, works=True) and before is not None:
                yield Stage.PRODUCER, f"new events again, after {look.at - before:.1f} s"
        elif self._is_silent(look.at) and self._put(Stage.PRODUCER, look.at, works=False, since=self._grown_at):
            yield Stage.PRODUCER, "no new events are seen in Kafka"

    def _is_silent(self, at: float) -> bool:
        return self._produces and self._grown_at is not None and at - self._grown_at > self._pause

    def _note_gap(self, at: float, before: float | None) -> None:
        if self.began is None and before is not None:
            self._gaps.append(at - before)

    def _see_processes(self, look: ProcessLook) -> Iterator[tuple[Stage, str]]:
        if look.instances == self._instances:
            return
        self._instances, usual = look.instances, self._usual["instances"]
        self._see_consumers(look.at)
        yield Stage.CONSUMERS, f"{look.instances} of {usual} instances run"

    def _see_consumers(self, at: float) -> None:
        works = self._instances >= self._usual["instances"] and self._members >= self._usual["members"]
        self._put(Stage.CONSUMERS, at, works=works)

    def _see_recovery(self, at: float) -> None:
        """Recovered is when all works, and what was sent until then is stored."""
        if self._target is None or self.recovered is not None or not self.works:
            return
        if all(self._stored.get(key, 0) >= end for key, end in self._target.items()):
            self.recovered = at

    def is_over(self, at: float) -> bool:
        """Whether it has recovered, and nothing new has been seen for long enough."""
        return self.recovered is not None and self.healed is not None and at - self.healed >= SETTLE_SECONDS
