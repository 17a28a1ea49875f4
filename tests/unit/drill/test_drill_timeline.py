"""A drill's timeline and recovery times, from looks that were made up."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import pytest

from sesacctl.drill.sights import CacheLook, DatabaseLook, KafkaLook, Look, ProcessLook
from sesacctl.drill.stages import Moment, Stage, StageRecovery
from sesacctl.drill.timeline import SETTLE_SECONDS, Timeline
from sesacctl.pipeline.sink.counts import Counts

ONE, TWO = (UUID(int=1), 0), (UUID(int=1), 1)
FAULT = 100.0


class Film:
    """A timeline in which orders come to two partitions, `rate` a second to each."""

    def __init__(self, rate: float = 10.0) -> None:
        self.timeline = Timeline(instances=4, members=4, brokers=3)
        self.rate, self.moments = rate, list[Moment]()
        self.stored = {ONE: 0, TWO: 0}

    def see(self, *looks: Look) -> None:
        for look in looks:
            self.moments += self.timeline.see(look)

    def end(self, at: float) -> int:
        return int(at * self.rate)

    def run(
        self, start: float, until: float, *, stored: Iterable[object] = (ONE, TWO), behind: float = 0.0, **kafka: object
    ) -> None:
        """All is well from one second to another, but that only `stored` partitions are, and TWO comes later."""
        for tenth in range(int(start * 10), int(until * 10)):
            at = tenth / 10
            values = {"brokers": 3, "out_of_sync": 0, "members": 4, "ends": {ONE: self.end(at), TWO: self.end(at)}}
            self.see(KafkaLook(at, at, **{**values, **kafka}))  # type: ignore[arg-type]
            late = {ONE: 0.0, TWO: behind}
            self.stored |= {key: max(self.stored[key], self.end(at - late[key])) for key in (ONE, TWO) if key in stored}
            self.see(DatabaseLook(at, dict(self.stored)), CacheLook(at, 2_000, 7), ProcessLook(at, 4))

    def calm_then_fault(self) -> None:
        self.run(FAULT - 5, FAULT)
        assert self.timeline.is_calm
        assert self.moments == []
        self.timeline.begin(FAULT)

    def stage(self, stage: Stage, at: float) -> StageRecovery:
        return next(each for each in self.timeline.recoveries(at) if each.stage is stage)

    def texts(self, stage: Stage) -> list[tuple[float, str]]:
        return [(moment.seconds, moment.text) for moment in self.moments if moment.stage is stage]


@pytest.fixture
def film() -> Film:
    return Film()


def test_a_loop_that_nothing_disturbs_has_an_empty_timeline(film: Film) -> None:
    film.calm_then_fault()
    film.timeline.heal(FAULT)
    film.run(FAULT, FAULT + 3)
    assert film.moments == []
    assert film.timeline.recovered == pytest.approx(FAULT, abs=0.2)
    assert all(each.works and not each.outages for each in film.timeline.recoveries(FAULT + 3))


def test_nothing_is_over_before_a_fault_could_be_seen(film: Film) -> None:
    film.calm_then_fault()
    film.timeline.heal(FAULT)
    film.run(FAULT, FAULT + 1)
    assert not film.timeline.is_over(FAULT + 1)
    assert film.timeline.is_over(FAULT + SETTLE_SECONDS)


def test_a_database_that_was_away_is_told_with_its_times(film: Film) -> None:
    film.calm_then_fault()
    film.see(DatabaseLook(FAULT + 0.5, None))
    film.timeline.heal(FAULT + 4)
    film.run(FAULT + 4.5, FAULT + 8)
    assert film.texts(Stage.DATABASE) == [(0.5, "PostgreSQL does not answer"), (4.5, "PostgreSQL answers again")]
    found = film.stage(Stage.DATABASE, FAULT + 8)
    assert (found.works, found.outages, found.seconds, found.back_after) == (True, 1, 4.0, 4.5)
    assert film.timeline.recovered == pytest.approx(FAULT + 4.6, abs=0.2)


def test_one_partition_that_stands_still_is_no_recovery(film: Film) -> None:
    film.calm_then_fault()
    film.timeline.heal(FAULT)
    film.run(FAULT, FAULT + 12, stored=[ONE])
    assert film.timeline.recovered is None
    assert not film.timeline.moves_again
    [(seconds, text)] = film.texts(Stage.ROWS)
    assert text == "1 of 2 partitions stand still"
    assert 1.5 <= seconds <= 2.0
    film.run(FAULT + 12, FAULT + 13)
    assert film.timeline.moves_again
    found = film.stage(Stage.ROWS, FAULT + 13)
    assert found.back_after == pytest.approx(12.0, abs=0.2)
    assert found.seconds == pytest.approx(12.0, abs=0.3), "from when it last moved, not from when it was noticed"
    assert film.timeline.recovered == pytest.approx(FAULT + 12, abs=0.3)


def test_every_partition_stores_what_was_sent_before_it_is_over(film: Film) -> None:
    film.calm_then_fault()
    film.timeline.heal(FAULT)
    film.run(FAULT, FAULT + 3, behind=1.0)
    assert film.moments == [], "all of it moves"
    assert film.timeline.recovered == pytest.approx(FAULT + 1, abs=0.2)


def test_a_broker_is_back_when_its_copies_are_in_sync(film: Film) -> None:
    film.calm_then_fault()
    film.run(FAULT, FAULT + 2, brokers=2, out_of_sync=15)
    film.timeline.heal(FAULT + 2)
    film.run(FAULT + 2, FAULT + 4, brokers=3, out_of_sync=2)
    assert film.timeline.recovered is None
    film.run(FAULT + 4, FAULT + 5)
    assert [text for _, text in film.texts(Stage.BROKERS)] == [
        "2 of 3 are in service, 15 partitions lack a copy",
        "3 of 3 are in service, 2 partitions lack a copy",
        "3 of 3 are in service, all copies are in sync",
    ]
    assert film.stage(Stage.BROKERS, FAULT + 5).back_after == pytest.approx(4.0)


def test_events_that_do_not_come_are_the_producers_outage(film: Film) -> None:
    film.calm_then_fault()
    film.run(FAULT, FAULT + 6, ends=None)
    film.run(FAULT + 6, FAULT + 7)
    assert [text for _, text in film.texts(Stage.PRODUCER)] == [
        "no new events are seen in Kafka", "new events again, after 6.1 s",
    ]  # fmt: skip
    film.timeline.end_producing()
    film.moments.clear()
    film.run(FAULT + 7, FAULT + 12, ends=None)
    assert film.texts(Stage.PRODUCER) == []


def test_a_slow_machine_has_longer_pauses_before_it_is_noted() -> None:
    film = Film()
    for at in (90.0, 92.0, 94.0, 96.0, 98.0):
        film.run(at, at + 0.1)
    film.timeline.begin(FAULT)
    film.run(FAULT + 1.9, FAULT + 2)
    assert film.moments == []


def test_consumers_are_whole_when_processes_and_members_are(film: Film) -> None:
    film.calm_then_fault()
    film.see(ProcessLook(FAULT + 0.2, 3), ProcessLook(FAULT + 0.8, 4), KafkaLook(FAULT + 1, FAULT + 1, 3, 0, None, 3))
    assert not film.stage(Stage.CONSUMERS, FAULT + 1).works
    film.see(KafkaLook(FAULT + 2, FAULT + 2, 3, 0, None, 4))
    found = film.stage(Stage.CONSUMERS, FAULT + 2)
    assert (found.works, found.outages, found.back_after) == (True, 2, 2.0)


def test_refusals_are_told_once_and_counted_since_the_fault(film: Film) -> None:
    film.see(DatabaseLook(FAULT - 1, {}, Counts(stored=50, dead=3)))
    film.timeline.begin(FAULT)
    film.see(DatabaseLook(FAULT + 1, {}, Counts(stored=60, dead=4)), DatabaseLook(FAULT + 2, {}, Counts(60, 2, 9, 1)))
    assert [text.partition(":")[0] for _, text in film.texts(Stage.ROWS)] == [
        "the first messages are refused",
        "the first orders came that are stored already",
        "the first orders came whose user or product is not there",
    ]
    counts = film.timeline.counts
    assert (counts.stored, counts.duplicates, counts.dead, counts.parked) == (10, 2, 6, 1)


def test_an_empty_cache_is_told_and_the_next_refresh(film: Film) -> None:
    film.calm_then_fault()
    film.see(CacheLook(FAULT + 1, None), CacheLook(FAULT + 2, 0, 7), CacheLook(FAULT + 3, 2_000, 8))
    film.see(CacheLook(FAULT + 6, 2_000, 9))
    assert [text for _, text in film.texts(Stage.CACHE)] == [
        "Redis does not answer", "Redis answers again, with 2,000 rows", "refreshed again: generation 8",
    ]  # fmt: skip


def test_what_breaks_again_has_not_recovered(film: Film) -> None:
    film.calm_then_fault()
    film.timeline.heal(FAULT)
    film.run(FAULT, FAULT + 1)
    assert film.timeline.recovered is not None
    film.see(DatabaseLook(FAULT + 1.5, None))
    assert film.timeline.recovered is None
    assert film.timeline.trouble == "no sign of work from database"


def test_the_most_that_waited_is_kept() -> None:
    film = Film(rate=1_000)
    film.run(FAULT - 1, FAULT)
    film.timeline.begin(FAULT)
    film.run(FAULT, FAULT + 2, stored=[])
    film.run(FAULT + 2, FAULT + 3)
    assert film.timeline.most_waiting == pytest.approx(4_000, rel=0.1)
    assert any("events wait in Kafka" in text for _, text in film.texts(Stage.ROWS))
