"""What our figures are called in Prometheus, by the names of other exporters where they have one.

Those names are kafka_exporter's, kafka-lag-exporter's and redis_exporter's. All are explained in docs/metrics.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from sesacctl.errors import ServerRefused, ServerUnreachable
from sesacctl.events import Reason
from sesacctl.pipeline.latency import Histogram
from sesacctl.pipeline.watch.exporter import Family

if TYPE_CHECKING:
    from sesacctl.broker.cluster import Cluster
    from sesacctl.broker.groups import Place
    from sesacctl.pipeline.audit.partitions import PartitionProgress
    from sesacctl.pipeline.consume.activity import Activity
    from sesacctl.pipeline.produce.producer import ProduceReport
    from sesacctl.pipeline.refresh.figures import RefreshFigures
    from sesacctl.pipeline.sink.counts import PartitionKey
    from sesacctl.pipeline.supervise.member import ConsumeFigures, InstanceReport
    from sesacctl.pipeline.watch.observation import Observation
    from sesacctl.pipeline.watch.probes import DatabaseView, RedisView, Waiting

SERVERS = {"PostgreSQL": "postgresql", "Redis": "redis", "Kafka": "kafka", "loop": "loop"}
"""What is looked at, and its label; the loop is PostgreSQL and Kafka together."""

_OF_LOG = ("topic", "partition")
_OF_GROUP = ("consumergroup", "topic", "partition")
_Values = Iterable[tuple[tuple[str, ...], float]]


def of_observation(seen: Observation, group: str, topics: Sequence[str] = ()) -> list[Family]:
    """The state of the servers and the loop. What cannot be seen is left out: it is not 0. `topics` are ours."""
    families = [_up(seen)]
    if seen.database:
        families += _database(seen.database, group, topics)
    if seen.redis:
        families += _redis(seen.redis)
    if seen.cache_age is not None:
        families.append(_one("sesacctl_cache_age_seconds", "Since the cached rows were picked.", seen.cache_age))
    if seen.kafka:
        families += _kafka(seen.kafka, group)
    if seen.partitions is not None:
        families += _partitions(seen.partitions, group)
        if seen.lag_seconds is not None:
            families += _ages(seen.partitions, seen.lag_seconds, group)
    return families


def of_scrapes(seen: Observation, errors: Mapping[str, int]) -> list[Family]:
    """How the looks went: the last one's seconds, and how many have failed since the start, by what was looked at."""
    text = "How long the last look was waited for."
    took = [((label,), seen.took[name]) for name, label in SERVERS.items() if name in seen.took]
    failed = [((label,), errors[name]) for name, label in SERVERS.items()]
    return [
        Family("sesacctl_scrape_seconds", text, labels=("server",), values=took),
        _counter("sesacctl_scrape_errors_total", "Looks that failed.", ("server",), failed),
    ]


def _up(seen: Observation) -> Family:
    """A schema or a topic that is missing is the answer of a server that is up."""
    away = {name for name, error in seen.problems.items() if isinstance(error, ServerUnreachable | ServerRefused)}
    values = [((label,), float(name not in away)) for name, label in SERVERS.items() if name != "loop"]
    return Family("sesacctl_up", "Whether the server was reached, and let us in.", labels=("server",), values=values)


def _one(name: str, text: str, value: float) -> Family:
    kind: Literal["counter", "gauge"] = "counter" if name.endswith("_total") else "gauge"
    return Family(name, text, kind, values=[((), value)])


def _gauge(name: str, text: str, labels: tuple[str, ...], values: _Values) -> Family:
    return Family(name, text, labels=labels, values=list(values))


def _counter(name: str, text: str, labels: tuple[str, ...], values: _Values) -> Family:
    return Family(name, text, "counter", labels, list(values))


def _histogram(name: str, text: str, observed: Histogram) -> Family:
    return Family(name, text, "histogram", distributions=[((), observed)])


def _tables(name: str, text: str, values: Mapping[str, float]) -> Family:
    return _gauge(name, text, ("table",), (((table,), value) for table, value in values.items()))


def _database(view: DatabaseView, group: str, topics: Sequence[str]) -> Iterator[Family]:
    yield _tables("sesacctl_rows", "Rows in the table; above 100000 an estimate.", view.rows)
    yield _tables("sesacctl_rows_never_cached", "Rows never cached, counted up to 100000.", view.never_cached)
    waits = {table: age for table, age in view.oldest_turn.items() if age is not None}
    yield _tables("sesacctl_longest_wait_seconds", "Since the least recently cached row was cached.", waits)
    text = "Refused events, unresolved; counted up to 100000 in all."
    yield _by_topic("sesacctl_dead_letters", text, view.dead, group, topics)
    by_reason = (((group, each.topic, each.reason), each.count) for each in view.dead)
    labels = ("consumergroup", "topic", "reason")
    yield _gauge("sesacctl_dead_letters_by_reason", "The same by why they were refused.", labels, by_reason)
    yield _oldest("sesacctl_oldest_dead_letter_seconds", "Since the oldest of them was kept.", view.dead, group)
    text = "Orders whose user or product is missing; counted up to 100000 in all."
    yield _by_topic("sesacctl_parked_events", text, view.parked_events, group, topics)
    text = "Since the oldest of them was parked."
    yield _oldest("sesacctl_oldest_parked_event_seconds", text, view.parked_events, group)


def _by_topic(name: str, text: str, found: Iterable[Waiting], group: str, topics: Sequence[str]) -> Family:
    """Topics without any are 0."""
    counts = Counter(dict.fromkeys(topics, 0))
    for each in found:
        counts[each.topic] += each.count
    values = (((group, topic), count) for topic, count in counts.items())
    return _gauge(name, text, ("consumergroup", "topic"), values)


def _oldest(name: str, text: str, found: tuple[Waiting, ...], group: str) -> Family:
    """Nothing where there is none, and where not all were looked at."""
    from sesacctl.pipeline.watch.probes import MANY  # with what asks the servers: a producer imports no psycopg2

    known = found and sum(each.count for each in found) < MANY
    values = [((group,), max(each.oldest for each in found))] if known else []
    return _gauge(name, text, ("consumergroup",), values)


def _redis(view: RedisView) -> Iterator[Family]:
    cache = view.cache
    yield _tables("sesacctl_cache_rows", "Rows in the cache.", {each.table: each.rows for each in cache.hashes})
    if cache.generation is not None:
        yield _one("sesacctl_cache_refreshes_total", "Generations of the cache so far.", cache.generation)
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
    yield _one("sesacctl_partitions_without_leader", "Partitions that no broker leads.", view.leaderless)
    yield _one("sesacctl_partitions_under_replicated", "Partitions without all replicas.", view.under_replicated)
    yield _one("sesacctl_partitions_below_min_isr", "Partitions that take no writes.", view.below_min_isr)
    yield from _logs(view)
    if view.group_problem:
        return
    of_group = {
        "kafka_consumergroup_members": ("Members of the group.", view.members + len(view.foreign_members)),
        "sesacctl_consumergroup_foreign_members": ("Members of other applications.", len(view.foreign_members)),
    }
    for name, (text, count) in of_group.items():
        yield _gauge(name, text, ("consumergroup",), [((group,), count)])
    yield _owners(view.places, group)


def _logs(view: Cluster) -> Iterator[Family]:
    logs = [(each, (each.topic, str(each.partition))) for each in view.logs]
    counts = Counter(each.topic for each in view.logs)
    topics = (((topic,), count) for topic, count in counts.items())
    yield _gauge("kafka_topic_partitions", "Partitions of the topic.", ("topic",), topics)
    leaders = ((log, each.leader) for each, log in logs if each.leader is not None)
    yield _gauge("kafka_topic_partition_leader", "Id of the broker that leads it.", _OF_LOG, leaders)
    replicas = ((log, len(each.replicas)) for each, log in logs)
    yield _gauge("kafka_topic_partition_replicas", "Replicas that it should have.", _OF_LOG, replicas)
    in_sync = ((log, len(each.isr)) for each, log in logs)
    yield _gauge("kafka_topic_partition_in_sync_replica", "Replicas in sync.", _OF_LOG, in_sync)
    under = ((log, len(each.isr) < len(each.replicas)) for each, log in logs)
    name = "kafka_topic_partition_under_replicated_partition"
    yield _gauge(name, "Whether some replicas are not in sync.", _OF_LOG, under)


def _owners(places: Iterable[Place], group: str) -> Family:
    values = (
        ((group, topic, str(number), place.member, place.host, place.address), 1.0)
        for place in places
        for topic, number in place.partitions
    )
    labels = (*_OF_GROUP, "member", "host", "address")
    return _gauge("sesacctl_partition_owner", "Which member of which host has the partition.", labels, values)


def _partitions(partitions: list[PartitionProgress], group: str) -> Iterator[Family]:
    logs = [(each, (each.topic, str(each.partition))) for each in partitions]
    ends = ((log, each.log_end) for each, log in logs)
    yield _gauge("kafka_topic_partition_current_offset", "Next offset of the log.", _OF_LOG, ends)
    starts = ((log, each.log_start) for each, log in logs)
    yield _gauge("kafka_topic_partition_oldest_offset", "First offset of the log.", _OF_LOG, starts)
    lag = (((group, *log), each.lag) for each, log in logs)
    yield _gauge("kafka_consumergroup_lag", "Events that PostgreSQL does not have yet.", _OF_GROUP, lag)
    next_offsets = (((group, *log), each.next) for each, log in logs if each.next is not None)
    text = "Next offset to store, in PostgreSQL."
    yield _gauge("kafka_consumergroup_current_offset", text, _OF_GROUP, next_offsets)
    held = ((log, each.held) for each, log in logs)
    yield _gauge("sesacctl_offsets_held", "Behind an open transaction of a producer.", _OF_LOG, held)
    cut = ((log, each.cut_log is not None or each.cut > 0) for each, log in logs)
    yield _gauge("sesacctl_log_cut", "Whether the log is not the one that was stored.", _OF_LOG, cut)
    missing = Counter[tuple[str, ...]]()
    for each in partitions:
        missing[group, each.topic] += abs(each.missing)
    text = "Offsets that no counter accounts for."
    yield _gauge("sesacctl_offsets_missing", text, ("consumergroup", "topic"), missing.items())
    # Of each partition: when one begins again at 0, a sum would fall to something else, and its rate would be wrong.
    counters: dict[str, tuple[str, Callable[[PartitionProgress], int]]] = {
        "stored": ("Events stored as rows.", lambda part: part.counts.stored),
        "duplicates": ("Events that were stored before.", lambda part: part.counts.duplicates),
        "expired": ("Offsets that were gone from the log before they were read.", lambda part: part.counts.expired),
        "ahead": ("Events later than their records by more than an hour.", lambda part: part.counts.ahead),
    }
    for what, (text, figure) in counters.items():
        counted = [((group, *log), figure(each)) for each, log in logs if each.next is not None]
        yield _counter(f"sesacctl_events_{what}_total", text, _OF_GROUP, counted)


def _ages(partitions: list[PartitionProgress], ages: Mapping[PartitionKey, float], group: str) -> Iterator[Family]:
    known = [((group, each.topic, str(each.partition)), ages[each.key]) for each in partitions if each.key in ages]
    yield _gauge("sesacctl_lag_seconds", "Age of the oldest event that PostgreSQL does not have.", _OF_GROUP, known)
    worst = [((group,), max(age for _, age in known))] if known and len(known) == len(partitions) else []
    name = "kafka_consumergroup_group_max_lag_seconds"
    yield _gauge(name, "The largest of the ages, where all are known.", ("group",), worst)


def of_refresh(figures: RefreshFigures) -> list[Family]:
    """A cache worker since its start, and its last round that cached something."""
    rounds = [((outcome,), number) for outcome, number in figures.rounds.items()]
    families = [
        _counter("sesacctl_refresh_rounds_total", "Rounds by how they ended.", ("outcome",), rounds),
        _histogram("sesacctl_refresh_seconds", "How long a round takes that does not fail.", figures.seconds.copy()),
    ]
    last = figures.last
    if last is not None and last.generation is not None and last.at is not None:
        rows = [((each.table, turn), getattr(each, turn)) for each in last.tables for turn in ("fresh", "aged")]
        families += [
            _one("sesacctl_cache_refreshes_total", "Generations of the cache so far.", last.generation),
            _one("sesacctl_refresh_timestamp_seconds", "When the cached rows were picked.", last.at.timestamp()),
            _gauge("sesacctl_refresh_rows", "Rows that the last round cached.", ("table", "turn"), rows),
        ]
    return families


def of_produce(report: ProduceReport, acknowledgements: Histogram) -> list[Family]:
    """A producer since its start."""
    totals = {
        "sesacctl_orders_produced_total": ("Orders made.", report.orders),
        "sesacctl_events_sent_total": ("Events given to the Kafka client.", report.sent),
        "sesacctl_events_acknowledged_total": ("Events that Kafka has acknowledged.", report.acknowledged),
        "sesacctl_events_failed_total": ("Events that Kafka has not taken.", report.failed),
        "sesacctl_events_in_flight": ("Events that wait for their acknowledgement.", report.in_flight),
    }
    waits_for = {"the cache": "redis", "Kafka": "kafka"}
    waiting = [((server,), float(report.waiting_for == what)) for what, server in waits_for.items()]
    text = "Whether the producer waits for the server."
    return [
        *(_one(name, text, value) for name, (text, value) in totals.items()),
        _gauge("sesacctl_produce_waiting", text, ("server",), waiting),
        _histogram("sesacctl_acknowledgement_seconds", "From sending to the acknowledgement.", acknowledgements),
    ]


def of_consume(figures: ConsumeFigures) -> list[Family]:
    """A supervisor and its members since its start."""
    text = "Members that wait for the server."
    waiting = [((SERVERS[server],), number) for server, number in figures.waiting.items()]
    return [
        *_members(figures.report.instances),
        *_activity(figures.activity),
        _gauge("sesacctl_consume_waiting_members", text, ("server",), waiting),
        _histogram("sesacctl_record_to_commit_seconds", "From the record's time to COMMIT.", figures.record_to_commit),
        _histogram(
            "sesacctl_read_to_commit_seconds",
            "From the poll that returned the record to COMMIT.",
            figures.activity.measures.read_to_commit,
        ),
    ]


def _members(instances: list[InstanceReport]) -> Iterator[Family]:
    figures: dict[str, tuple[str, Callable[[InstanceReport], float]]] = {
        "sesacctl_member_up": ("Whether the process runs.", lambda line: line.pid is not None),
        "sesacctl_member_restarts_total": ("Starts after the first.", lambda line: line.restarts),
        "sesacctl_member_events_total": ("Offsets that it has accounted for.", lambda line: line.counts.offsets),
        "sesacctl_member_partitions": ("Partitions that it owns.", lambda line: len(line.partitions)),
        "sesacctl_member_lag": ("Offsets that it has not stored, as of its last fetch.", lambda line: line.lag),
        "sesacctl_member_max_resident_bytes": ("Peak memory.", lambda line: line.max_rss_bytes),
    }
    for name, (text, figure) in figures.items():
        known = [line for line in instances if line.state == "running" or not name.endswith("_lag")]
        values = [((line.member,), figure(line)) for line in known]
        kind: Literal["counter", "gauge"] = "counter" if name.endswith("_total") else "gauge"
        yield Family(name, text, kind, ("member",), values)


def _activity(done: Activity) -> Iterator[Family]:
    text = "Events by what became of them; one that was parked is counted again when it is parked no longer."
    yield _counter("sesacctl_consume_events_total", text, ("topic", "outcome"), done.events.items())
    text = "Dead letters that were kept."
    topics = {topic for topic, _ in done.events}
    none = {(topic, reason.value): 0 for topic in topics for reason in Reason}  # a rate needs a value before the first
    dead = none | dict(done.measures.dead)
    yield _counter("sesacctl_consume_dead_letters_total", text, ("topic", "reason"), dead.items())
    from sesacctl.pipeline.sink.sqlstates import RETRY_CLASSES  # imports psycopg2, as a consumer has

    retries = (((each,), done.retries[each]) for each in RETRY_CLASSES)
    yield _counter("sesacctl_consume_retries_total", "Steps that were undone and tried again.", ("class",), retries)
    counts = {
        "sesacctl_consume_fences_total": ("Steps that found PostgreSQL's offset moved.", done.fences),
        "sesacctl_consume_slow_path_total": ("Steps that did not COPY into the tables.", done.measures.slow_paths),
        "sesacctl_consume_rebalances_total": ("Assignments that members have taken up.", done.rebalances),
    }
    for name, (text, count) in counts.items():
        yield _one(name, text, count)
    parts = [((part,), histogram) for part, histogram in done.measures.seconds.items()]
    text = "How long the parts of a step take that do not fail."
    yield Family("sesacctl_step_seconds", text, "histogram", ("part",), distributions=parts)
