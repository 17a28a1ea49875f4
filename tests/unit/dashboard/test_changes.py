"""What happened between two looks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from sesacctl.broker.cluster import LogState
from sesacctl.broker.groups import Place
from sesacctl.dashboard import changes
from sesacctl.dashboard.changes import Change, EventKind
from sesacctl.errors import ServerUnreachable
from sesacctl.events import Kind
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.pipeline.sink.log_cuts import cut_log
from tests.helpers.observations import CACHE, KAFKA, partition

AWAY = ServerUnreachable("it is away")


def short(found: Iterable[Change]) -> list[tuple[str, str, int | None]]:
    return [(each.kind, each.subject, each.count) for each in found]


def place(member: str, *partitions: tuple[str, int], session: str = "s1") -> Place:
    return Place(member=member, host="host", address="10.0.0.1", partitions=partitions, session=session)


def log(number: int, leader: int | None) -> LogState:
    return LogState("orders", number, leader, (1, 2, 3), (1, 2, 3))


def test_a_server_goes_away_once_and_comes_back_once() -> None:
    assert short(changes.of_servers({}, {"PostgreSQL": AWAY, "loop": AWAY})) == [("away", "PostgreSQL", None)]
    assert not short(changes.of_servers({"PostgreSQL": AWAY}, {"PostgreSQL": AWAY}))
    assert short(changes.of_servers({"PostgreSQL": AWAY}, {})) == [("back", "PostgreSQL", None)]


def test_brokers_and_kafka_are_one_server() -> None:
    assert short(changes.of_servers({}, {"brokers": AWAY, "Kafka": AWAY})) == [("away", "Kafka", None)]


def test_a_broker_that_ends_loses_its_partitions_to_others() -> None:
    before = replace(KAFKA, logs=(log(0, 1), log(1, 2), log(2, 2)))
    now = replace(KAFKA, brokers=(1, 3), logs=(log(0, 1), log(1, 3), log(2, 3)))
    assert short(changes.of_brokers(before, now)) == [("broker_down", "kafka-2", None), ("leader", "kafka-3", 2)]
    assert short(changes.of_brokers(now, before)) == [("broker_up", "kafka-2", None), ("leader", "kafka-2", 2)]


def test_a_partition_without_a_leader_is_led_by_nobody() -> None:
    before, now = replace(KAFKA, logs=(log(0, 1),)), replace(KAFKA, logs=(log(0, None),))
    assert not short(changes.of_brokers(before, now))


def test_a_member_joins_leaves_and_is_started_again() -> None:
    one, two = place("h-0"), place("h-1")
    assert short(changes.of_members((one,), (one, two))) == [("joined", "h-1", None)]
    assert short(changes.of_members((one, two), (two,))) == [("left", "h-0", None)]
    assert short(changes.of_members((one,), (replace(one, session="s2"),))) == [("restarted", "h-0", None)]


def test_partitions_that_change_hands_are_one_rebalance() -> None:
    before = {("orders", 0): "h-0", ("orders", 1): "h-0"}
    now = {("orders", 0): "h-0", ("orders", 1): "h-1", ("orders", 2): "h-1"}
    assert short(changes.of_owners(before, now, "shop")) == [("rebalance", "shop", 2)]
    assert not short(changes.of_owners(now, now, "shop"))


def test_while_a_group_changes_nobody_owns_anything() -> None:
    assert changes.owners((place("h-0"), place("h-1"))) is None
    assert changes.owners((place("h-0", ("orders", 3)),)) == {("orders", 3): "h-0"}


def test_a_new_generation_is_a_refresh_with_its_rows() -> None:
    assert short(changes.of_cache(CACHE, replace(CACHE, generation=8))) == [("refreshed", "8", 2000)]
    assert not short(changes.of_cache(CACHE, CACHE))
    assert not short(changes.of_cache(CACHE, replace(CACHE, generation=None)))


def test_refused_parked_and_expired_records_are_counted() -> None:
    before = [partition(number=0), partition(number=1)]
    now = [replace(part, counts=Counts(stored=100, dead=2, parked=1, expired=part.partition * 5)) for part in before]
    assert short(changes.of_partitions(before, now)) == [
        ("refused", "orders", 4), ("parked", "orders", 2), ("gap", "orders-1", 5),
    ]  # fmt: skip


def test_a_partition_seen_for_the_first_time_is_no_event() -> None:
    now = [replace(partition(Kind.USERS), counts=Counts(dead=7))]
    assert not short(changes.of_partitions([], now))


def test_parked_events_that_are_stored_are_no_event() -> None:
    before = [replace(partition(), counts=Counts(parked=5))]
    assert not short(changes.of_partitions(before, [partition()]))


def test_a_cut_log_is_named_once() -> None:
    part = partition(number=3)
    cuts = {part.key: cut_log(100, "it ends at offset 7", None)}
    assert short(changes.of_cuts({}, cuts, [part])) == [("cut", "orders-3", None)]
    assert not short(changes.of_cuts(cuts, cuts, [part]))


def test_a_stage_stands_still_and_moves_again() -> None:
    assert short(changes.of_states({"consume": "ok"}, {"consume": "stalled"}, stalled="stalled")) == [
        (EventKind.STALLED, "consume", None)
    ]
    assert short(changes.of_states({"consume": "stalled"}, {"consume": "slow"}, stalled="stalled")) == [
        (EventKind.MOVING, "consume", None)
    ]
    assert not short(changes.of_states({"consume": "slow"}, {"consume": "away"}, stalled="stalled"))
