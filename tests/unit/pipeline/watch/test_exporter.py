"""Names, labels and units of what Prometheus gets."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import replace
from uuid import UUID

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sesacctl import installation
from sesacctl.broker.cluster import LogState
from sesacctl.broker.groups import Place
from sesacctl.errors import ConfigurationError, TopicMissing
from sesacctl.events import Reason
from sesacctl.pipeline.consume.activity import Activity
from sesacctl.pipeline.latency import Histogram, Latency
from sesacctl.pipeline.produce.producer import ProduceReport
from sesacctl.pipeline.refresh.figures import RefreshFigures, RefreshResult, TableRefresh
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.pipeline.supervise.member import ConsumeFigures, ConsumeReport, InstanceReport
from sesacctl.pipeline.watch.exporter import Family, build_info, text
from sesacctl.pipeline.watch.metric_families import (
    SERVERS,
    of_consume,
    of_observation,
    of_produce,
    of_refresh,
    of_scrapes,
)
from sesacctl.pipeline.watch.pages import page, serve
from sesacctl.pipeline.watch.probes import MANY, Waiting
from sesacctl.stack import ports
from tests.helpers.documents import ROOT
from tests.helpers.observations import DATABASE, GOOD, KAFKA, NOW, partition, without

LINE = InstanceReport(
    instance=3,
    member="shop-3",
    pid=1,
    state="running",
    partitions=["orders-3"],
    counts=Counts(stored=5, dead=1),
    rate=3.0,
    lag=2,
    restarts=1,
    max_rss_bytes=30_000_000,
    error=None,
)
CONSUMED = ConsumeReport(
    instances=[LINE, replace(LINE, instance=4, member="shop-4", pid=None)],
    totals=Counts(stored=10, dead=2),
    events=12,
    seconds=2.0,
    rate=6.0,
    restarts=2,
    since_read_ms=2.0,
    step_ms={"copy": 1.0},
    latency_p50_ms=12.0,
    latency_p95_ms=None,
    latency_p99_ms=40.0,
)
PRODUCED = ProduceReport(
    orders=10,
    new_users=1,
    new_products=1,
    sent=12,
    acknowledged=11,
    failed=0,
    in_flight=1,
    refused=0,
    seconds=1.0,
    rate=10.0,
    rate_now=10.0,
    linger_ms=1.0,
    broker_ms=3.0,
    ack_p50_ms=5.0,
    ack_p99_ms=9.0,
    waiting_for=None,
    first_failure=None,
)


def activity() -> Activity:
    """Of two steps and a retry of parked events."""
    done = Activity(fences=1, rebalances=2)
    done.count("orders", Counts(stored=5, duplicates=1, dead=1, parked=2))
    done.count("orders", Counts(stored=1, dead=1, parked=-2))
    done.retries["deadlock"] += 1
    done.measures.count_dead("orders", Reason.ORPHAN)
    done.measures.slow_paths += 1
    for seconds in (0.002, 0.02, 2000.0, 9999.0):
        done.measures.seconds["commit"].observe(seconds)
    return done


def latency(*milliseconds: int) -> Histogram:
    found = Latency()
    found.observe(0, [-each for each in milliseconds])
    return found.histogram


EVERYTHING = ConsumeFigures(
    report=CONSUMED,
    activity=activity(),
    record_to_commit=latency(1, 5, 5, 40, 4_000_000),
    waiting={"PostgreSQL": 1, "Kafka": 0},
)
REFRESHED = RefreshResult(
    skipped=False, generation=9, at=NOW, seconds=0.1, tables=(TableRefresh(table="users", fresh=500, aged=400),)
)
ROUNDS = RefreshFigures()
ROUNDS.note(REFRESHED)
ROUNDS.note(replace(REFRESHED, skipped=True, generation=None, at=None))
LETTERS = (Waiting("orders", "orphan", 2, 60.0), Waiting("orders", "invalid_json", 1, 90.0))
FULL = replace(
    GOOD,
    database=replace(DATABASE, dead=LETTERS, parked_events=(Waiting("orders", "orphan", 3, 7.5),)),
    kafka=replace(
        KAFKA,
        places=(Place(member="shop-0-3", host="shop-0", address="10.0.0.7", partitions=(("orders", 4),)),),
        logs=(
            LogState("orders", 0, leader=1, replicas=(1, 2, 3), isr=(1, 2, 3)),
            LogState("orders", 1, leader=None, replicas=(1, 2, 3), isr=(3,)),
        ),
    ),
    lag_seconds={partition().key: 2.5},
    took={"PostgreSQL": 0.1, "Redis": 0.2, "brokers": 0.3, "Kafka": 0.4, "loop": 0.5},
)
TOPICS = ("orders", "users", "products")
ALL = (
    *of_observation(FULL, "g", TOPICS),
    *of_scrapes(FULL, dict.fromkeys(SERVERS, 0)),
    *of_consume(EVERYTHING),
    *of_produce(PRODUCED, latency(5)),
    *of_refresh(ROUNDS),
    build_info(),
)


def values(families: list[Family]) -> dict[str, float]:
    """As Prometheus reads them: `name{label="value"}` to the value."""
    found = {}
    for family in text_string_to_metric_families(text(lambda: families)):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_lag_has_the_name_that_dashboards_know() -> None:
    seen = replace(GOOD, partitions=[partition(number=4, end=130)])
    found = values(of_observation(seen, "주문"))
    assert found["kafka_consumergroup_lag{consumergroup=주문,partition=4,topic=orders}"] == 30
    assert found["kafka_consumergroup_current_offset{consumergroup=주문,partition=4,topic=orders}"] == 100
    assert found["kafka_topic_partition_current_offset{partition=4,topic=orders}"] == 130
    assert found["kafka_consumergroup_members{consumergroup=주문}"] == 9
    assert found["sesacctl_consumergroup_foreign_members{consumergroup=주문}"] == 0
    assert found["sesacctl_cache_age_seconds{}"] == 10
    assert found["sesacctl_events_stored_total{consumergroup=주문,partition=4,topic=orders}"] == 100


@pytest.mark.parametrize(("server", "label"), [("PostgreSQL", "postgresql"), ("Redis", "redis"), ("Kafka", "kafka")])
def test_a_missing_server_is_down_and_the_rest_is_exported(server: str, label: str) -> None:
    found = values(of_observation(without(server), "g"))
    up = {name: value for name, value in found.items() if name.startswith("sesacctl_up")}
    assert up.pop(f"sesacctl_up{{server={label}}}") == 0
    assert list(up.values()) == [1, 1]


def test_a_missing_topic_is_not_a_server_that_is_down() -> None:
    seen = replace(without("Kafka"), problems={"Kafka": TopicMissing(), "loop": TopicMissing()})
    found = values(of_observation(seen, "g"))
    assert found["sesacctl_up{server=kafka}"] == 1
    assert not [name for name in found if name.startswith("kafka_")]


def test_what_waits_is_counted_by_topic_and_reason() -> None:
    found = values(of_observation(FULL, "g", TOPICS))
    assert found["sesacctl_dead_letters{consumergroup=g,topic=orders}"] == 3
    assert found["sesacctl_dead_letters{consumergroup=g,topic=users}"] == 0
    assert found["sesacctl_dead_letters_by_reason{consumergroup=g,reason=orphan,topic=orders}"] == 2
    assert found["sesacctl_oldest_dead_letter_seconds{consumergroup=g}"] == 90
    assert found["sesacctl_oldest_parked_event_seconds{consumergroup=g}"] == 7.5
    none = values(of_observation(GOOD, "g", TOPICS))
    assert none["sesacctl_parked_events{consumergroup=g,topic=orders}"] == 0
    assert not [name for name in none if "_oldest_" in name and "offset" not in name], "of nothing there is no age"


def test_the_oldest_of_too_many_is_not_known() -> None:
    many = replace(GOOD, database=replace(DATABASE, dead=(Waiting("orders", "orphan", MANY, 9.0),)))
    assert "sesacctl_oldest_dead_letter_seconds{consumergroup=g}" not in values(of_observation(many, "g"))


def test_leader_and_replicas_of_each_partition() -> None:
    found = values(of_observation(FULL, "g"))
    assert found["kafka_topic_partition_leader{partition=0,topic=orders}"] == 1
    assert "kafka_topic_partition_leader{partition=1,topic=orders}" not in found
    assert found["kafka_topic_partition_in_sync_replica{partition=1,topic=orders}"] == 1
    assert found["kafka_topic_partition_replicas{partition=1,topic=orders}"] == 3
    assert found["kafka_topic_partition_under_replicated_partition{partition=0,topic=orders}"] == 0
    assert found["kafka_topic_partition_under_replicated_partition{partition=1,topic=orders}"] == 1
    owner = "address=10.0.0.7,consumergroup=g,host=shop-0,member=shop-0-3,partition=4,topic=orders"
    assert found[f"sesacctl_partition_owner{{{owner}}}"] == 1


def test_the_largest_age_is_given_where_all_are_known() -> None:
    found = values(of_observation(FULL, "g"))
    assert found["sesacctl_lag_seconds{consumergroup=g,partition=0,topic=orders}"] == 2.5
    assert found["kafka_consumergroup_group_max_lag_seconds{group=g}"] == 2.5
    partly = replace(FULL, partitions=[partition(), replace(partition(number=1), topic_id=UUID(int=2))])
    found = values(of_observation(partly, "g"))
    assert found["sesacctl_lag_seconds{consumergroup=g,partition=0,topic=orders}"] == 2.5
    assert "kafka_consumergroup_group_max_lag_seconds{group=g}" not in found


def test_the_supervisor_speaks_for_its_members() -> None:
    found = values(of_consume(EVERYTHING))
    assert found["sesacctl_member_up{member=shop-3}"] == 1
    assert found["sesacctl_member_up{member=shop-4}"] == 0
    assert found["sesacctl_member_events_total{member=shop-3}"] == 6
    assert found["sesacctl_member_max_resident_bytes{member=shop-3}"] == 30_000_000
    assert found["sesacctl_consume_waiting_members{server=postgresql}"] == 1
    assert found["sesacctl_consume_events_total{outcome=stored,topic=orders}"] == 6
    assert found["sesacctl_consume_events_total{outcome=parked,topic=orders}"] == 2, "a counter does not fall"
    assert found["sesacctl_consume_dead_letters_total{reason=orphan,topic=orders}"] == 1
    assert found["sesacctl_consume_dead_letters_total{reason=invalid_json,topic=orders}"] == 0
    assert found["sesacctl_consume_retries_total{class=deadlock}"] == 1
    assert found["sesacctl_consume_retries_total{class=lock}"] == 0, "a rate needs a value before the first"


def test_a_histogram_has_what_is_not_above_each_bound() -> None:
    found = values(of_consume(EVERYTHING))
    buckets = {le: found[f"sesacctl_record_to_commit_seconds_bucket{{le={le}}}"] for le in ("0.001", "0.005", "0.05")}
    assert buckets == {"0.001": 1, "0.005": 3, "0.05": 4}
    assert found["sesacctl_record_to_commit_seconds_bucket{le=3600.0}"] == 4
    assert found["sesacctl_record_to_commit_seconds_bucket{le=+Inf}"] == 5
    assert found["sesacctl_record_to_commit_seconds_count{}"] == 5
    assert found["sesacctl_record_to_commit_seconds_sum{}"] == pytest.approx(4000.051)
    assert found["sesacctl_step_seconds_bucket{le=3600.0,part=commit}"] == 3


def test_a_producer_and_a_refresher() -> None:
    found = values([*of_produce(PRODUCED, latency(5, 80)), *of_refresh(ROUNDS)])
    assert found["sesacctl_events_acknowledged_total{}"] == 11
    assert found["sesacctl_acknowledgement_seconds_bucket{le=0.05}"] == 1
    assert found["sesacctl_produce_waiting{server=redis}"] == 0
    assert found["sesacctl_refresh_rows{table=users,turn=aged}"] == 400
    assert found["sesacctl_refresh_rounds_total{outcome=skipped}"] == 1
    assert found["sesacctl_cache_refreshes_total{}"] == 9


def test_names_are_in_base_units() -> None:
    for family in ALL:
        assert re.fullmatch(r"(sesacctl|kafka|redis)_[a-z_]+", family.name)
        assert not re.search(r"_(ms|milliseconds|kb|mb|percent|minutes)(_|$)", family.name)
        assert (family.kind == "counter") == family.name.endswith("_total")
        assert family.help.endswith(".")


def test_every_metric_is_documented_as_it_is() -> None:
    """Name, labels and type, in docs/metrics.md; and each of those is there."""
    text = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \| (\w+) \| [^|]+ \|$", text, re.MULTILINE)
    documented = {(name, tuple(re.findall(r"`(\w+)`", labels)), kind) for name, labels, kind in rows}
    assert documented == {(family.name, family.labels, family.kind) for family in ALL}
    assert len(rows) == len(documented) + 1, "sesacctl_cache_refreshes_total is in two tables"


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (Debian package prometheus) is not installed")
def test_promtool_has_nothing_to_say() -> None:
    families = {family.name: family for family in ALL}
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=text(families.values),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def fetch(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


def test_the_latest_figures_are_served_until_the_end() -> None:
    [port] = ports.choose(1)
    with page(port, host="127.0.0.1") as shown:
        assert "process_resident_memory_bytes" in fetch(port)
        shown.publish([Family("sesacctl_x", "X.", values=[((), 1)])])
        assert "sesacctl_x 1.0" in fetch(port)
        shown.publish([Family("sesacctl_x", "X.", values=[((), 2)])])
        assert "sesacctl_x 2.0" in fetch(port)
        with (
            pytest.raises(ConfigurationError, match=f"127.0.0.1:{port}: Address already in use"),
            page(port, host="127.0.0.1"),
        ):
            pass
    with pytest.raises(urllib.error.URLError):
        fetch(port)


def test_without_a_port_nothing_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with page(None, host="127.0.0.1") as shown:
        shown.publish([])


def test_without_the_extra_the_next_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigurationError) as caught, serve(1, list, host="127.0.0.1"):
        pass
    assert caught.value.hint == installation.command("metrics")
    assert "(extra: metrics)" in str(caught.value)
