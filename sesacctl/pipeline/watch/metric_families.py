"""What our figures are called in Prometheus, by the names of kafka_exporter and redis_exporter where they have one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from sesacctl.pipeline.watch.exporter import Family

if TYPE_CHECKING:
    from sesacctl.broker.cluster import Cluster
    from sesacctl.pipeline.audit.partitions import PartitionProgress
    from sesacctl.pipeline.produce.producer import ProduceReport
    from sesacctl.pipeline.refresh.worker import RefreshResult
    from sesacctl.pipeline.supervise.member import ConsumeReport, InstanceReport
    from sesacctl.pipeline.watch.observation import Observation
    from sesacctl.pipeline.watch.probes import DatabaseView, RedisView


def of_observation(seen: Observation, group: str) -> list[Family]:
    """The state of the servers and the loop; what cannot be seen is left out, and `sesacctl_up` is 0."""
    servers = {"postgresql": seen.database, "redis": seen.redis, "kafka": seen.kafka}
    up = [((server,), float(view is not None)) for server, view in servers.items()]
    families = [Family("sesacctl_up", "Whether the server answers.", labels=("server",), values=up)]
    if seen.database:
        families += _database(seen.database, group)
    if seen.redis:
        families += _redis(seen.redis)
    if seen.cache_age is not None:
        families.append(_one("sesacctl_cache_age_seconds", "Since the cached rows were picked.", seen.cache_age))
    if seen.kafka:
        families += _kafka(seen.kafka, group)
    if seen.partitions is not None:
        families += _partitions(seen.partitions, group)
    return families


def _one(name: str, text: str, value: float) -> Family:
    return Family(name, text, "counter" if name.endswith("_total") else "gauge", values=[((), value)])


def _tables(name: str, text: str, values: Mapping[str, float]) -> Family:
    return Family(name, text, labels=("table",), values=[((table,), value) for table, value in values.items()])


def _database(view: DatabaseView, group: str) -> Iterator[Family]:
    yield _tables("sesacctl_rows", "Rows in the table; above 100000 an estimate.", view.rows)
    yield _tables("sesacctl_rows_never_cached", "Rows never cached, counted up to 100000.", view.never_cached)
    waits = {table: age for table, age in view.oldest_turn.items() if age is not None}
    yield _tables("sesacctl_longest_wait_seconds", "Since the least recently cached row was cached.", waits)
    of_group = {"sesacctl_dead_letters": view.dead_letters, "sesacctl_parked_events": view.parked}
    for name, count in of_group.items():
        text = "Refused events, unresolved." if name.endswith("letters") else "Orders whose user or product is missing."
        yield Family(name, text, labels=("consumergroup",), values=[((group,), count)])


def _redis(view: RedisView) -> Iterator[Family]:
    cache = view.cache
    yield _tables("sesacctl_cache_rows", "Rows in the cache.", {each.table: each.rows for each in cache.hashes})
    yield _one("sesacctl_cache_refreshes_total", "Generations of the cache so far.", cache.generation or 0)
    yield _one("sesacctl_cache_period_seconds", "Planned between two refreshes; 0: none is planned.", cache.period)
    told = (
        ("redis_memory_used_bytes", "Memory that Redis uses.", cache.used_memory),
        ("redis_memory_max_bytes", "Memory that Redis may use; 0: no limit.", cache.max_memory),
        ("redis_commands_processed_total", "Commands that Redis has processed.", view.commands),
        ("sesacctl_cache_may_be_evicted", "Whether a full Redis would evict a cached table.", cache.evicts),
    )
    for name, text, figure in told:
        if figure is not None:
            yield _one(name, text, figure)


def _kafka(view: Cluster, group: str) -> Iterator[Family]:
    yield _one("kafka_brokers", "Brokers in service.", len(view.brokers))
    yield _one("sesacctl_partitions_under_replicated", "Partitions without all replicas.", view.under_replicated)
    yield _one("sesacctl_partitions_below_min_isr", "Partitions that take no writes.", view.below_min_isr)
    if view.group_problem:
        return
    of_group = {
        "kafka_consumergroup_members": ("Members of the group.", view.members + len(view.foreign_members)),
        "sesacctl_consumergroup_foreign_members": ("Members of other applications.", len(view.foreign_members)),
    }
    for name, (text, count) in of_group.items():
        yield Family(name, text, labels=("consumergroup",), values=[((group,), count)])


def _partitions(partitions: list[PartitionProgress], group: str) -> Iterator[Family]:
    logs = [(each, (each.topic, str(each.partition))) for each in partitions]
    of_log, of_group = ("topic", "partition"), ("consumergroup", "topic", "partition")
    ends = [(log, each.log_end) for each, log in logs]
    yield Family("kafka_topic_partition_current_offset", "Next offset of the log.", labels=of_log, values=ends)
    starts = [(log, each.log_start) for each, log in logs]
    yield Family("kafka_topic_partition_oldest_offset", "First offset of the log.", labels=of_log, values=starts)
    lag = [((group, *log), each.lag) for each, log in logs]
    yield Family("kafka_consumergroup_lag", "Events that PostgreSQL does not have yet.", labels=of_group, values=lag)
    next_offsets = [((group, *log), each.next) for each, log in logs if each.next is not None]
    text = "Next offset to store, in PostgreSQL."
    yield Family("kafka_consumergroup_current_offset", text, labels=of_group, values=next_offsets)
    stored, missing, ahead = Counter[tuple[str, ...]](), Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for each in partitions:
        stored[group, each.topic] += each.counts.stored
        missing[group, each.topic] += abs(each.missing)
        ahead[group, each.topic] += each.counts.ahead
    held = [(log, each.held) for each, log in logs]
    yield Family("sesacctl_offsets_held", "Behind an open transaction of a producer.", labels=of_log, values=held)
    cut = [(log, each.cut_log is not None or each.cut > 0) for each, log in logs]
    yield Family("sesacctl_log_cut", "Whether the log is not the one that was stored.", labels=of_log, values=cut)
    of_topic = ("consumergroup", "topic")
    yield Family("sesacctl_events_stored_total", "Events stored as rows.", "counter", of_topic, list(stored.items()))
    text = "Events later than their records by more than an hour."
    yield Family("sesacctl_events_ahead_total", text, "counter", of_topic, list(ahead.items()))
    text = "Offsets that no counter accounts for."
    yield Family("sesacctl_offsets_missing", text, labels=of_topic, values=list(missing.items()))


def of_refresh(result: RefreshResult) -> list[Family]:
    """The last round of a cache worker."""
    families = [_one("sesacctl_refresh_seconds", "How long the last round took.", result.seconds)]
    if result.generation is not None and result.at is not None:
        rows = [((each.table, turn), getattr(each, turn)) for each in result.tables for turn in ("fresh", "aged")]
        families += [
            _one("sesacctl_cache_refreshes_total", "Generations of the cache so far.", result.generation),
            _one("sesacctl_refresh_timestamp_seconds", "When the cached rows were picked.", result.at.timestamp()),
            Family("sesacctl_refresh_rows", "Rows that the last round cached.", labels=("table", "turn"), values=rows),
        ]
    return families


def of_produce(report: ProduceReport) -> list[Family]:
    """A producer since its start."""
    totals = {
        "sesacctl_orders_produced_total": ("Orders made.", report.orders),
        "sesacctl_events_sent_total": ("Events given to the Kafka client.", report.sent),
        "sesacctl_events_acknowledged_total": ("Events that Kafka has acknowledged.", report.acknowledged),
        "sesacctl_events_failed_total": ("Events that Kafka has not taken.", report.failed),
        "sesacctl_events_in_flight": ("Events that wait for their acknowledgement.", report.in_flight),
        "sesacctl_producer_waiting": ("Whether the producer waits for a server.", report.waiting_for is not None),
    }
    latency = {"0.5": report.ack_p50_ms, "0.99": report.ack_p99_ms}
    return [
        *(_one(name, text, value) for name, (text, value) in totals.items()),
        _quantiles("sesacctl_acknowledgement_seconds", "From sending to the acknowledgement.", latency),
    ]


def of_consume(report: ConsumeReport) -> list[Family]:
    """A supervisor and its instances since its start."""
    latency = {"0.5": report.latency_p50_ms, "0.95": report.latency_p95_ms, "0.99": report.latency_p99_ms}
    return [
        *_instances(report.instances),
        _quantiles("sesacctl_record_to_commit_seconds", "From the record's time to COMMIT.", latency),
    ]


def _instances(instances: list[InstanceReport]) -> Iterator[Family]:
    figures: dict[str, tuple[str, Callable[[InstanceReport], float]]] = {
        "sesacctl_instance_up": ("Whether the process runs.", lambda line: line.pid is not None),
        "sesacctl_instance_restarts_total": ("Starts after the first.", lambda line: line.restarts),
        "sesacctl_instance_partitions": ("Partitions that it owns.", lambda line: len(line.partitions)),
        "sesacctl_instance_max_resident_bytes": ("Peak memory.", lambda line: line.max_rss_bytes),
        "sesacctl_instance_events_total": ("Events that it processed.", lambda line: line.counts.offsets),
    }
    for name, (text, figure) in figures.items():
        values = [((str(line.instance),), figure(line)) for line in instances]
        yield Family(name, text, "counter" if name.endswith("_total") else "gauge", ("instance",), values)


def _quantiles(name: str, text: str, milliseconds: Mapping[str, float | None]) -> Family:
    values = [((quantile,), each / 1000) for quantile, each in milliseconds.items() if each is not None]
    return Family(name, text, labels=("quantile",), values=values)
