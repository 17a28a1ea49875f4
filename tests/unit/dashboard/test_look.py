"""One look: what top shows, and what is beside it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from sesacctl.broker.cluster import LogState
from sesacctl.broker.groups import Place
from sesacctl.dashboard.look import Look, Looker, broker_lines
from sesacctl.documents import document
from sesacctl.pipeline.refresh.aging import Aging, TableAging
from sesacctl.pipeline.watch.probes import Waiting
from sesacctl.pipeline.watch.top import Top
from sesacctl.settings import load
from tests.helpers.json_paths import paths
from tests.helpers.looks import looker, looks
from tests.helpers.observations import CACHE, GOOD, KAFKA, cache, database, kafka, partition, without

KEYS = """
    aging.fresh aging.generation aging.size aging.tables[].bound aging.tables[].histogram aging.tables[].holds
    aging.tables[].never_cached aging.tables[].rounds_per_bin aging.tables[].rows aging.tables[].table
    aging.tables[].worst_wait at brokers[].id brokers[].in_sync brokers[].leads brokers[].replicas brokers[].up command
    events[].at events[].count events[].id events[].kind events[].subject events[].text id instances[].host
    instances[].member instances[].partitions instances[].since instances[].up stages.broker stages.cache
    stages.consume stages.produce stages.refresh stages.sink stages.source waiting.dead[].count waiting.dead[].oldest
    waiting.dead[].reason waiting.dead[].topic waiting.parked[].count waiting.parked[].oldest waiting.parked[].reason
    waiting.parked[].topic"""
"""What the page and other programs rely on, besides `top`. A key that is removed or renamed needs another version."""
AGING = Aging(
    generation=7, size=1000, fresh=500,
    tables=[
        TableAging(
            table="users", rows=3, never_cached=1, bound=3, worst_wait=0, holds=True, rounds_per_bin=1, histogram=[2]
        )
    ],
)  # fmt: skip


def kinds(look: Look) -> list[str]:
    return [event.kind for event in look.events]


def member(name: str, *partitions: tuple[str, int], session: str = "s1") -> Place:
    return Place(member=name, host="host", address="10.0.0.1", partitions=partitions, session=session)


def test_top_is_what_top_prints_of_the_same_look() -> None:
    [look] = looks(GOOD)
    screen = document(Top(load(kafka_group="shop")).screen(GOOD))
    assert {**look.top, "at": None} == {**screen, "at": None}
    assert look.top["schema_version"] == 1


def test_the_keys_of_a_look_are_stable() -> None:
    waiting = Waiting("orders", "invalid_json", 3, 12.0)
    full = replace(
        database(dead=(waiting,), parked_events=(waiting,)),
        at=GOOD.at + 1,
        kafka=replace(KAFKA, places=(member("h-0", ("orders", 0)),)),
    )
    made = Looker(load(kafka_group="shop"), observe=lambda: full, aging=lambda _: AGING)
    made.look(GOOD)
    look = msgspec.json.decode(msgspec.json.encode(made.run_once(), enc_hook=str))
    assert look["at"].endswith("Z")
    del look["top"]
    assert sorted(set(paths(look))) == KEYS.split()


def test_ids_grow_by_one_and_over_a_restart() -> None:
    first, second = looks(GOOD, GOOD)
    assert second.id == first.id + 1
    assert looks(GOOD)[0].id >= first.id


def test_the_first_look_has_no_events() -> None:
    assert not looks(without("PostgreSQL"))[0].events


@pytest.mark.parametrize(
    ("seen", "stage", "state"),
    [
        (GOOD, "source", "ok"),
        (without("PostgreSQL"), "source", "away"),
        (without("PostgreSQL"), "sink", "away"),
        (without("PostgreSQL"), "broker", "ok"),
        (without("Redis"), "cache", "away"),
        (cache(refreshed_at=None), "refresh", "unknown"),
    ],
)
def test_a_stage_has_one_of_five_states(seen: object, stage: str, state: str) -> None:
    assert isinstance(seen, type(GOOD))
    assert looks(seen)[0].stages[stage] == state


def test_a_consumer_that_stores_nothing_is_stalled() -> None:
    seen = [replace(GOOD, partitions=[partition(end=1000 + 100 * n, stored=100)]) for n in range(6)]
    made = looks(*seen)
    assert made[-1].stages["consume"] == "stalled"
    assert made[-1].command == "sesacctl consume"
    assert "stalled" in [kind for look in made for kind in kinds(look)]


def test_an_empty_cache_names_the_refresh() -> None:
    hashes = tuple(replace(each, rows=0) for each in CACHE.hashes)
    assert looks(cache(hashes=hashes))[0].command == "sesacctl cache refresh"


def test_a_server_that_is_away_has_its_own_hint() -> None:
    assert looks(without("PostgreSQL"))[0].command == "sesacctl up"


def test_nothing_to_do_names_no_command() -> None:
    assert looks(GOOD)[0].command is None


def test_brokers_are_counted_by_what_they_lead_and_copy() -> None:
    logs = (LogState("orders", 0, 1, (1, 2), (1,)), LogState("orders", 1, 1, (1, 3), (1, 3)))
    lines = broker_lines(replace(KAFKA, brokers=(1, 3), logs=logs), told=True)
    assert [(each.id, each.up, each.leads, each.in_sync, each.replicas) for each in lines] == [
        (1, True, 2, 2, 2), (2, False, 0, 0, 1), (3, True, 0, 1, 1),
    ]  # fmt: skip


def test_brokers_are_as_last_seen_while_kafka_is_away() -> None:
    last = looks(GOOD, without("Kafka"))[-1]
    assert [each.up for each in last.brokers] == [None, None, None]
    assert kinds(last) == ["away"]


def test_a_member_that_left_is_shown_as_gone() -> None:
    both = (member("h-0", ("orders", 0)), member("h-1", ("orders", 1)))
    last = looks(kafka(places=both), kafka(places=both[:1]))[-1]
    assert [(each.member, each.up) for each in last.instances] == [("h-0", True), ("h-1", False)]
    assert kinds(last) == ["left"]


def test_a_member_that_was_killed_is_seen_by_its_session() -> None:
    first, second = looks(
        kafka(places=(member("h-0", ("orders", 0)),)), kafka(places=(member("h-0", ("orders", 0), session="s2"),))
    )
    assert kinds(second) == ["restarted"]
    assert second.instances[0].up
    assert second.instances[0].since > first.instances[0].since


def test_partitions_stay_where_they_were_during_a_rebalance() -> None:
    owning, changing = member("h-0", ("orders", 0)), member("h-0")
    made = looks(kafka(places=(owning,)), kafka(places=(changing,)), kafka(places=(owning,)))
    assert [look.instances[0].partitions for look in made] == [[("orders", 0)]] * 3
    assert not [kind for look in made for kind in kinds(look)]


def test_members_are_kept_while_the_coordinator_moves() -> None:
    places = (member("h-0", ("orders", 0)),)
    made = looks(kafka(places=places), kafka(places=(), group_problem="NotCoordinatorError"), kafka(places=places))
    assert [look.instances[0].up for look in made] == [True] * 3
    assert not [kind for look in made for kind in kinds(look)]


def test_records_that_wait_are_listed_by_reason() -> None:
    dead, parked = (Waiting("orders", reason, 3, 12.0) for reason in ("invalid_json", "orphan"))
    [look] = looks(database(dead=(dead,), parked_events=(parked,)))
    assert look.waiting is not None
    assert look.waiting.dead == (dead,)
    assert [each.reason for each in look.waiting.parked] == ["unknown"]
    assert looks(without("PostgreSQL"))[0].waiting is None


def test_events_are_kept_with_the_look_that_saw_them() -> None:
    made = looker(lambda number: GOOD if number != 2 else without("Redis"))
    first, second, third = made.run_once(), made.run_once(), made.run_once()
    assert [event.kind for event in made.events.after(None)] == ["away", "back"]
    assert [event.kind for event in made.events.after(first.id)] == ["away", "back"]
    assert [event.kind for event in made.events.after(second.id)] == ["back"]
    assert not made.events.after(third.id)
    numbers = [event.id for event in made.events.after(None)]
    assert numbers == sorted(set(numbers))
