"""What `health` makes of what was seen: the verdict, the evidence, and the next command."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sesacctl.broker.transactions import OpenTransaction
from sesacctl.cli import live
from sesacctl.errors import CheckFailed, DatabaseMissing, SchemaNotAtHead, ServerRefused, ServerUnreachable
from sesacctl.heartbeat import Heartbeat, Pulse
from sesacctl.pipeline.sink.log_cuts import cut_log
from sesacctl.pipeline.watch import observation as observe
from sesacctl.pipeline.watch.checks import Check, Verdict, judge
from sesacctl.pipeline.watch.observation import Observation, at_once
from sesacctl.pipeline.watch.probes import Waiting
from sesacctl.settings import load
from tests.helpers.observations import CACHE, GOOD, NOW, cache, database, kafka, partition, without
from tests.helpers.waiting import wait_until, within

ALIVE = Pulse(name="cache-refresh", pid=7, seconds_left=30)
DEAD = Pulse(name="consume", pid=8, seconds_left=-1)


def check(name: str, seen: Observation, *pulses: Pulse) -> Check:
    """The line of that name."""
    [found] = [each for each in judge(seen, pulses) if each.name == name]
    return found


CUT = cut_log(20, "it ends at offset 5", None)


def test_uncompared_logs_are_not_called_whole() -> None:
    assert check("audit", GOOD).evidence == "100 offsets, all accounted for"
    assert check("audit", replace(GOOD, compared=False)).evidence.endswith("; logs not compared")


def test_events_behind_an_open_transaction_are_named() -> None:
    held = OpenTransaction(
        topic="orders", partition=3, offset=5, held=900, producer_id=7, transactional_id=None, seconds=240.0
    )
    seen = replace(GOOD, held_back=[held], partitions=[partition(end=1000, stored=100)])
    assert "lag 900; 900 offsets behind an open transaction of producer id 7 on orders-3" in check(
        "consumers", seen
    ).evidence  # fmt: skip
    unknown = replace(held, producer_id=None, seconds=None)
    assert unknown.sentence == "900 offsets behind an open transaction on orders-3"


def test_a_good_loop_is_ok_and_needs_no_command() -> None:
    checks = judge(GOOD, (ALIVE,))
    assert {each.verdict for each in checks} == {Verdict.OK}
    assert {each.next for each in checks} == {None}
    assert [each.name for each in checks] == [
        "PostgreSQL",
        "Redis",
        "cache",
        "Kafka",
        "consumers",
        "audit",
        "dead letters",
        "local workers",
    ]


@pytest.mark.parametrize(
    ("name", "seen", "evidence", "command"),
    [
        ("PostgreSQL", database(standby=True), "read-only standby", "the primary"),
        ("Redis", cache(policy="allkeys-lru", max_memory=10**8), "allkeys-lru: when it is full it evicts", "-policy"),
        ("cache", cache(hashes=(CACHE.hashes[0], replace(CACHE.hashes[1], rows=0))), "no products", "cache refresh"),
        ("cache", cache(refreshed_at=NOW - timedelta(minutes=5)), "5 min ago, planned every 50 s", "--loop 50"),
        ("Kafka", kafka(brokers=(1, 3)), "2 of 3 brokers", "stack status"),
        ("Kafka", kafka(leaderless=3), "3 of 15 partitions without a leader", "stack status"),
        ("Kafka", kafka(below_min_isr=2), "2 of 15 partitions below min ISR", "stack status"),
        ("Kafka", kafka(under_replicated=1), "1 of 15 partitions under-replicated", "stack status"),
        ("Kafka", replace(GOOD, silent=["b:2"]), "no answer from b:2", "stack status"),
        ("Kafka", replace(kafka(brokers=(1, 3)), own=frozenset()), "2 of 3 brokers", "topics describe, and look at"),
        ("Kafka", kafka(unsafe=("orders: cleanup.policy=compact",)), "may lose records: orders: cl", "topics init"),
        ("audit", replace(GOOD, cuts={partition().key: CUT}), "the log of orders-0 is not the one", "accept-cut"),
        ("consumers", replace(kafka(members=0), partitions=[partition(end=107)]), "0 members, lag 7", "consume"),
        (
            "consumers",
            kafka(foreign_members=("billing at h",)),
            "1 member of another application: billing",
            "KAFKA_GROUP",
        ),
        ("consumers", replace(database(stored_age=90.0), partitions=[partition(end=107)]), "90 s ago", "lag --watch"),
        ("consumers", replace(database(stored_age=None), partitions=[partition(end=107)]), "nothing stored", "lag"),
        ("audit", replace(GOOD, partitions=[partition(stored=90, lost=10)]), "10 of 100 offsets", "sesacctl audit"),
    ],
)
def test_what_is_unhealthy(name: str, seen: Observation, evidence: str, command: str) -> None:
    found = check(name, seen)
    assert found.verdict is Verdict.UNHEALTHY
    assert evidence in found.evidence
    assert command in (found.next or "")


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("cache", cache(refreshed_at=NOW - timedelta(days=1), period=0.0)),
        ("cache", cache(refreshed_at=NOW - timedelta(seconds=150))),
        ("cache", cache(refreshed_at=None, generation=None)),
        ("Redis", cache(policy="volatile-lru")),
        ("consumers", kafka(members=0)),
        ("consumers", replace(GOOD, partitions=[partition(end=107)])),
        ("dead letters", database(parked_events=(Waiting("orders", "orphan", 3, 9.0),))),
    ],
    ids=["refreshed once", "one round late", "filled by others", "volatile", "nothing to do", "at work", "parked"],
)
def test_harmless_oddities_are_healthy(name: str, seen: Observation) -> None:
    assert check(name, seen).verdict is Verdict.OK


def test_a_new_event_after_idle_minutes_is_not_a_stall() -> None:
    seen = replace(database(stored_age=300.0), partitions=[partition(end=101)])
    young = [each for each in judge(seen, (), lag_is_old=lambda: False) if each.name == "consumers"]
    assert [each.verdict for each in young] == [Verdict.OK]
    assert check("consumers", seen).verdict is Verdict.UNHEALTHY


def test_a_failed_look_at_the_loop_says_why() -> None:
    seen = replace(GOOD, partitions=None, problems={"loop": ServerRefused("no right to the group", hint="a grant")})
    for name in ("consumers", "audit"):
        found = check(name, seen)
        assert (found.verdict, found.next) == (Verdict.UNKNOWN, "a grant")
        assert found.evidence == "unknown: no right to the group"


def test_members_that_may_not_be_counted_are_unknown() -> None:
    hidden = kafka(members=0, group_problem="GroupAuthorizationFailedError")
    found = check("consumers", replace(hidden, partitions=[partition(end=107)]))
    assert (found.verdict, found.next) == (Verdict.UNKNOWN, "give the Kafka user the right to describe the group")
    assert found.evidence == "members unknown: GroupAuthorizationFailedError, lag 7"
    assert check("consumers", kafka(group_problem="NotCoordinatorError")).next == "sesacctl lag"


def test_one_is_not_many() -> None:
    one = replace(kafka(members=1, partitions=1), partitions=[partition(end=1, stored=1)])
    assert [check(name, one).evidence for name in ("consumers", "audit")] == [
        "1 member, lag 0",
        "1 offset, all accounted for",
    ]
    lost = replace(GOOD, partitions=[partition(stored=99, lost=1)])
    assert check("audit", lost).evidence == "1 of 100 offsets is not accounted for"
    hashes = tuple(replace(each, rows=1) for each in CACHE.hashes)
    assert check("cache", cache(hashes=hashes)).evidence == "1 user, 1 product, 10 s ago, every 50 s"


def test_dead_letters_and_a_full_redis_are_warnings() -> None:
    found = check("dead letters", database(dead=(Waiting("orders", "invalid_json", 4, 9.0),)))
    assert (found.verdict, found.next) == (Verdict.WARNING, "sesacctl dlq list")
    assert check("Redis", cache(max_memory=2_100_000)).verdict is Verdict.WARNING
    assert check("Redis", cache(policy="allkeys-lru")).verdict is Verdict.WARNING  # without a limit


@pytest.mark.parametrize("server", ["PostgreSQL", "Redis", "Kafka"])
def test_a_missing_server_makes_its_dependent_checks_unknown(server: str) -> None:
    checks = judge(without(server), ())
    assert [each.name for each in checks if each.verdict is Verdict.DOWN] == [server]
    unknown = [each for each in checks if each.verdict is Verdict.UNKNOWN]
    assert unknown
    assert all(server in each.evidence for each in unknown)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (ServerRefused("password"), Verdict.DOWN),
        (SchemaNotAtHead("behind"), Verdict.UNHEALTHY),
        (DatabaseMissing("no sesac_db"), Verdict.UNHEALTHY),
    ],
)
def test_an_error_answer_is_shown_with_its_hint(error: ServerRefused, verdict: Verdict) -> None:
    seen = replace(without("PostgreSQL"), problems={"PostgreSQL": error, "loop": error})
    found = check("PostgreSQL", seen)
    assert (found.verdict, found.evidence, found.next) == (verdict, str(error), error.hint)


def test_a_worker_without_a_heartbeat_is_named() -> None:
    dead = check("local workers", GOOD, ALIVE, DEAD)
    assert dead.evidence == "no heartbeat from consume (process 8)"
    assert dead.next == "sesacctl consume --instances 9"
    assert check("local workers", GOOD, ALIVE).evidence == "cache-refresh"


# ---- the bound


def test_a_look_that_hangs_is_cut_and_the_others_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "LIMIT_SECONDS", 0.2)
    forever = threading.Event()
    with within(5):
        seen, problems = at_once({"Redis": lambda: forever.wait(30), "Kafka": lambda: 3})
    assert seen == {"Kafka": 3}
    assert str(problems["Redis"]) == "Redis gave no answer within 0.2 s"
    forever.set()


def test_silent_brokers_are_a_problem_rather_than_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observe, "LIMIT_SECONDS", 0.2)
    forever = threading.Event()
    monkeypatch.setattr(observe, "reachable_brokers", lambda *_, **__: forever.wait(30))
    problems = observe.observe(load(postgres_host="127.0.0.1", postgres_port=1, redis_port=1)).problems
    assert {type(problems[name]) for name in ("Kafka", "loop", "brokers")} == {ServerUnreachable}
    forever.set()


def test_a_bug_in_a_look_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        at_once({"Redis": lambda: 1 // 0})


# ---- --live


def test_live_judges_each_loop_by_its_heartbeat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SESAC_HOME", str(tmp_path))
    with pytest.raises(CheckFailed, match="no loop runs here"):
        live.live()
    with Heartbeat(tmp_path, "consume") as heartbeat, Heartbeat(tmp_path, "produce") as other:
        heartbeat.beat(60)
        other.beat(60)
        live.live()
        assert "consume (process" in capsys.readouterr().out
        other.beat(0.01)
        wait_until(lambda: not _is_live())
        with pytest.raises(CheckFailed, match=r"no heartbeat from produce$"):
            live.live()


def _is_live() -> bool:
    try:
        live.live()
    except CheckFailed:
        return False
    return True
