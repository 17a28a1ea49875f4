"""Names, labels and units of what Prometheus gets."""

from __future__ import annotations

import re
import sys
import urllib.error
import urllib.request
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sesacctl.errors import ConfigurationError
from sesacctl.pipeline.produce.producer import ProduceReport
from sesacctl.pipeline.refresh.worker import RefreshResult, TableRefresh
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.pipeline.supervise.member import ConsumeReport, InstanceReport
from sesacctl.pipeline.watch.exporter import Family, text
from sesacctl.pipeline.watch.metric_families import of_consume, of_observation, of_produce, of_refresh
from sesacctl.pipeline.watch.pages import page, serve
from sesacctl.stack import ports
from tests.helpers.observations import GOOD, NOW, partition, without

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
    instances=[LINE, replace(LINE, instance=4, pid=None)],
    totals=Counts(stored=10, dead=2),
    events=12,
    seconds=2.0,
    rate=6.0,
    restarts=2,
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
    ack_p50_ms=5.0,
    ack_p99_ms=9.0,
    waiting_for=None,
    first_failure=None,
)
REFRESHED = RefreshResult(
    skipped=False, generation=9, at=NOW, seconds=0.1, tables=(TableRefresh(table="users", fresh=500, aged=400),)
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
    assert found["sesacctl_events_stored_total{consumergroup=주문,topic=orders}"] == 100


@pytest.mark.parametrize(("server", "label"), [("PostgreSQL", "postgresql"), ("Redis", "redis"), ("Kafka", "kafka")])
def test_a_missing_server_is_down_and_the_rest_is_exported(server: str, label: str) -> None:
    found = values(of_observation(without(server), "g"))
    up = {name: value for name, value in found.items() if name.startswith("sesacctl_up")}
    assert up.pop(f"sesacctl_up{{server={label}}}") == 0
    assert list(up.values()) == [1, 1]


def test_the_supervisor_speaks_for_its_instances() -> None:
    found = values(of_consume(CONSUMED))
    assert found["sesacctl_instance_up{instance=3}"] == 1
    assert found["sesacctl_instance_up{instance=4}"] == 0
    assert found["sesacctl_instance_events_total{instance=3}"] == 6
    assert found["sesacctl_instance_max_resident_bytes{instance=3}"] == 30_000_000
    assert found["sesacctl_record_to_commit_seconds{quantile=0.99}"] == 0.04
    assert "sesacctl_record_to_commit_seconds{quantile=0.95}" not in found


def test_a_producer_and_a_refresher() -> None:
    found = values([*of_produce(PRODUCED), *of_refresh(REFRESHED)])
    assert found["sesacctl_events_acknowledged_total{}"] == 11
    assert found["sesacctl_acknowledgement_seconds{quantile=0.5}"] == 0.005
    assert found["sesacctl_refresh_rows{table=users,turn=aged}"] == 400
    assert found["sesacctl_cache_refreshes_total{}"] == 9


def test_names_are_in_base_units() -> None:
    families = [
        *of_observation(GOOD, "g"),
        *of_consume(CONSUMED),
        *of_produce(PRODUCED),
        *of_refresh(REFRESHED),
    ]
    for family in families:
        assert re.fullmatch(r"(sesacctl|kafka|redis)_[a-z_]+", family.name)
        assert not re.search(r"_(ms|milliseconds|kb|mb|percent|minutes)(_|$)", family.name)
        assert (family.kind == "counter") == family.name.endswith("_total")
        assert family.help.endswith(".")


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
    assert caught.value.hint == "pip install 'sesacctl[metrics]'"
