"""kafka-python's insides that `sesacctl/broker/kafka_python` uses: each one by its name, and what for.

A release that moves one fails the test of that name. pyproject.toml holds kafka-python to the minor version whose
insides these are; whoever raises it goes through what is red here. A new reach belongs into `INSIDES`.
"""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import kafka
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.net.compat import KafkaNetClient
from kafka.net.connection import KafkaConnection
from kafka.producer.producer_batch import ProducerBatch
from kafka.record import MemoryRecords

from sesacctl.broker.kafka_python.producer_batches import Records
from tests.helpers.documents import ROOT

ROOM = ROOT / "sesacctl" / "broker" / "kafka_python"
ORDERS = TopicPartition("orders", 0)


@dataclass(frozen=True, slots=True)
class Inside:
    """`owner` is a name in `owners`; `takes` are the first parameters of what we call, replace or override."""

    owner: str
    name: str
    what_for: str
    takes: tuple[str, ...] | None = None


INSIDES = [
    # connections.py
    Inside("KafkaAdminClient", "_manager", "an admin client's connections"),
    Inside("KafkaConsumer", "_manager", "a consumer's connections"),
    Inside("KafkaProducer", "_sender", "a producer's connections, its end and its wake-up"),
    Inside("Sender", "_client", "a producer's connections"),
    Inside("KafkaNetClient", "_manager", "connections before the first one is made"),
    Inside("KafkaConnectionManager", "_connect", "the outcome of each connection", ("node", "conn")),
    Inside("KafkaConnectionManager", "_backoff", "brokers that are to be asked last"),
    Inside("KafkaConnectionManager", "_net", "a request that waits on the network thread"),
    Inside("KafkaConnectionManager", "connection_delay", "how long a broker is not to be asked", ("node_id",)),
    Inside("KafkaConnectionManager", "least_loaded_node", "whether any broker may be asked", ()),
    Inside("KafkaConnectionManager", "call_soon", "a request that waits on the network thread", ("coro",)),
    Inside("KafkaConnectionManager", "config", "how long a connection may take"),
    Inside("KafkaConnectionManager", "cluster", "the brokers that it knows"),
    Inside("KafkaConnectionManager", "closed", "connections that end because the client is closed"),
    Inside("KafkaConnection", "init_future", "why a connection was not made"),
    # rebootstrap.py
    Inside("ClusterMetadata", "_bootstrap_brokers", "all bootstrap servers, asked again"),
    Inside("ClusterMetadata", "_generate_bootstrap_brokers", "all bootstrap servers, asked again", ()),
    Inside("ClusterMetadata", "_do_refresh_metadata", "metadata from a bootstrap server", ("node_id",)),
    Inside("ClusterMetadata", "bootstrap_brokers", "a bootstrap server to ask", ()),
    Inside("ClusterMetadata", "is_bootstrap", "addresses that are not advertised", ("node_id",)),
    Inside("KafkaConnectionManager", "close", "the connection to a bootstrap server", ("node_id",)),
    # admin_requests.py
    Inside("KafkaAdminClient", "_get_cluster_metadata", "brokers in service", ("topics",)),
    Inside("KafkaAdminClient", "_find_coordinator_ids", "members of a group", ("keys",)),
    Inside("KafkaAdminClient", "_describe_groups_request", "members of a group", ("group_ids",)),
    Inside(
        "KafkaAdminClient",
        "_list_partition_offsets_request",
        "ends of logs, asked of their leaders",
        ("partition_timestamps", "isolation_level_int"),
    ),
    Inside(
        "KafkaAdminClient",
        "_list_partition_offsets_process_response",
        "ends of logs, asked of their leaders",
        ("response",),
    ),
    Inside("KafkaConnectionManager", "run", "requests of our own", ("coro",)),
    Inside("KafkaConnectionManager", "send", "requests of our own", ("request", "node_id")),
    # consumer_state.py
    Inside("KafkaConsumer", "_cluster", "topic ids and partitions"),
    Inside("ClusterMetadata", "topic_id", "topic ids", ("topic_name",)),
    Inside("ClusterMetadata", "add_topic", "partitions of a topic that is not subscribed to", ("topic",)),
    Inside("ClusterMetadata", "partitions_for_topic", "partitions", ("topic",)),
    Inside("ClusterMetadata", "request_update", "topic ids and leaders, asked for", ()),
    Inside("KafkaConsumer", "_subscription", "positions, without a request"),
    Inside("SubscriptionState", "is_assigned", "positions", ("partition",)),
    Inside("SubscriptionState", "position", "positions", ("partition",)),
    Inside("SubscriptionState", "assignment", "seeking with a leader epoch"),
    Inside("TopicPartitionState", "seek", "seeking with a leader epoch", ("offset",)),
    Inside("KafkaConnectionManager", "least_used_connections", "whether any broker is connected", ()),
    Inside("KafkaConnectionManager", "wait_for", "a bound for what is asked for", ("future", "timeout_ms")),
    Inside("KafkaConsumer", "_fetcher", "ends of logs, and the reader of fetched batches"),
    Inside("Fetcher", "_isolation_level", "ends of logs that open transactions do not hold back"),
    Inside("Fetcher", "end_offsets", "ends of logs", ("partitions", "timeout_ms")),
    # consumer_records.py
    Inside("Fetcher", "PartitionRecords", "the reader of fetched batches"),
    Inside("PartitionRecords", "_unpack_records", "records of our own", ("tp", "records")),
    Inside("PartitionRecords", "_consume_aborted_transactions_up_to", "aborted transactions", ("offset",)),
    Inside("PartitionRecords", "_contains_abort_marker", "aborted transactions", ("batch",)),
    Inside("PartitionRecords", "_is_batch_aborted", "aborted transactions", ("batch",)),
    Inside("PartitionRecords", "aborted_producer_ids", "aborted transactions"),
    Inside("PartitionRecords", "next_fetch_offset", "where reading goes on"),
    Inside("PartitionRecords", "leader_epoch", "a log that was cut"),
    Inside("PartitionRecords", "drain", "the end of a fetched batch", ()),
    Inside("DefaultRecordBatch", "_maybe_uncompress", "the records of a batch", ()),
    Inside("DefaultRecordBatch", "_buffer", "the records of a batch"),
    Inside("DefaultRecordBatch", "_pos", "the records of a batch"),
    # group_protocol.py
    Inside("KafkaConsumer", "_coordinator", "a member that is fenced"),
    Inside("ConsumerCoordinator", "_send_heartbeat_request", "a member that is fenced", ()),
    Inside("ConsumerCoordinator", "_generation", "a member that is fenced"),
    Inside("ConsumerCoordinator", "_async_commit_fenced", "a member that is fenced"),
    # leader_changes.py
    Inside("Fetcher", "config", "how long brokers hold a fetch back"),
    Inside("Fetcher", "_create_fetch_requests", "how long brokers hold a fetch back", ()),
    Inside("Fetcher", "_validate_offsets_async", "who is asked about a position", ("timeout_ms",)),
    Inside("Fetcher", "_fetch_futures", "what a poll waits for"),
    Inside("SubscriptionState", "is_offset_validation_needed", "whether a leader has changed", ("partition",)),
    Inside("ClusterMetadata", "need_update", "whether a leader has changed"),
    # producer_batches.py
    Inside("KafkaProducer", "_accumulator", "queues of batches"),
    Inside("RecordAccumulator", "config", "how long batches wait"),
    Inside("RecordAccumulator", "_tp_lock", "the lock of a partition's queue", ("tp",)),
    Inside("RecordAccumulator", "_batches", "a partition's queue"),
    Inside("RecordAccumulator", "_incomplete", "batches that are not yet acknowledged"),
    Inside("Sender", "wakeup", "sending at once", ()),
    Inside("ProducerBatch", "_record_futures", "one outcome a batch, and not one a record"),
    Inside("ProducerBatch", "produce_future", "the outcome of a batch"),
    # producer_recovery.py
    Inside("KafkaProducer", "_transaction_manager", "producer ids"),
    Inside("TransactionManager", "_lock", "producer ids"),
    Inside("TransactionManager", "_current_state", "another producer id"),
    Inside("TransactionManager", "reset_producer_id", "another producer id", ()),
    Inside("TransactionManager", "bump_producer_id_and_epoch", "another producer id", ()),
    Inside("TransactionManager", "_enqueue_request", "asking for a producer id again", ("request_handler",)),
    Inside("TransactionManager", "classify_batch_error", "batches that fail alone", ("error", "batch")),
    Inside("TransactionManager", "set_sequence_number", "batches that fail alone", ("tp", "sequence")),
    Inside("RecordAccumulator", "drain", "batches that expire", ("cluster", "nodes", "max_size", "now")),
    Inside("RecordAccumulator", "reset_next_batch_expiry_time", "batches that expire", ()),
    Inside("RecordAccumulator", "expired_batches", "batches that expire", ("now",)),
    Inside("Sender", "_get_expired_inflight_batches", "batches that expire", ("now",)),
    Inside("ProducerBatch", "in_retry", "batches that expire", ()),
    # producer_state.py
    Inside("Sender", "force_close", "the end of a producer", ()),
    Inside("TransactionManager", "has_fatal_error", "a producer that is refused for good", ()),
    Inside("KafkaProducer", "_metadata", "topics that are gone"),
    Inside("ClusterMetadata", "topics", "topics that are gone"),
]
OPTIONS: list[tuple[Any, str]] = [(each, "kafka_client") for each in (KafkaAdminClient, KafkaConsumer, KafkaProducer)]


def without_bootstrap(**options: Any) -> KafkaNetClient:
    """An admin client connects when it is made; this one does not."""
    client = KafkaNetClient(**options)
    client._manager.bootstrap = lambda *_, **__: None
    return client


def a_batch() -> Any:
    records = Records()
    records.add(b"\2k", b"v", 1_700_000_000_000)
    records.close()
    return MemoryRecords(records.buffer()).next_batch()


@pytest.fixture(scope="module")
def owners() -> Iterator[dict[str, Any]]:
    """Living objects of kafka-python's, by the names of their classes; none has a broker."""
    options = {"bootstrap_servers": "127.0.0.1:1", "api_version": (3, 9)}
    admin = KafkaAdminClient(bootstrap_servers="127.0.0.1:1", kafka_client=without_bootstrap)
    consumer = KafkaConsumer(group_id="g", **options)
    producer = KafkaProducer(enable_idempotence=True, **options)
    try:
        consumer.assign([ORDERS])
        fetcher, manager = consumer._fetcher, consumer._manager
        yield {
            "KafkaAdminClient": admin,
            "KafkaConsumer": consumer,
            "KafkaProducer": producer,
            "KafkaNetClient": consumer._client,
            "KafkaConnectionManager": manager,
            "KafkaConnection": KafkaConnection(manager._net),
            "ClusterMetadata": manager.cluster,
            "SubscriptionState": consumer._subscription,
            "TopicPartitionState": consumer._subscription.assignment[ORDERS],
            "Fetcher": fetcher,
            "PartitionRecords": fetcher.PartitionRecords(0, ORDERS, MemoryRecords(b"")),
            "DefaultRecordBatch": a_batch(),
            "ConsumerCoordinator": consumer._coordinator,
            "Sender": producer._sender,
            "RecordAccumulator": producer._accumulator,
            "TransactionManager": producer._transaction_manager,
            "ProducerBatch": ProducerBatch(ORDERS, SimpleNamespace()),
        }
    finally:
        for client in (admin, consumer, producer):
            client.close()


def described(inside: Inside) -> str:
    return f"{inside.owner}.{inside.name}"


@pytest.mark.parametrize("inside", INSIDES, ids=described)
def test_kafka_python_has_each_listed_inside(inside: Inside, owners: dict[str, Any]) -> None:
    where = f"kafka-python {kafka.__version__}: {described(inside)}, used for {inside.what_for},"
    owner = owners[inside.owner]
    assert type(owner).__name__ == inside.owner, f"{where} belongs to a {type(owner).__name__} now"
    assert hasattr(owner, inside.name), f"{where} is gone"
    if inside.takes is not None:
        takes = tuple(inspect.signature(getattr(owner, inside.name)).parameters)[: len(inside.takes)]
        assert takes == inside.takes, f"{where} takes {takes} now"


@pytest.mark.parametrize(("client", "option"), OPTIONS, ids=lambda each: getattr(each, "__name__", each))
def test_kafka_python_still_has_the_option(client: Any, option: str) -> None:
    assert option in client.DEFAULT_CONFIG


def reaches(source: str) -> set[str]:
    """Names of private attributes that a source uses of others than `self`, and of `self` without defining them."""
    tree = ast.parse(source)
    attributes = [each for each in ast.walk(tree) if isinstance(each, ast.Attribute) and re.match(r"_[^_]", each.attr)]
    on_self = [each for each in attributes if isinstance(each.value, ast.Name) and each.value.id == "self"]
    own = {each.attr for each in on_self if isinstance(each.ctx, ast.Store)}
    own |= {each.name for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)}
    return {each.attr for each in attributes if each not in on_self} | {each.attr for each in on_self} - own


@pytest.mark.parametrize("path", sorted(ROOM.glob("*.py")), ids=lambda path: path.name)
def test_each_reach_of_the_room_is_listed(path: Any) -> None:
    assert reaches(path.read_text("utf-8")) <= {inside.name for inside in INSIDES}


def test_each_listed_inside_is_used() -> None:
    room = "\n".join(path.read_text("utf-8") for path in [*ROOM.glob("*.py"), ROOM.parent / "addresses.py"])
    assert [described(inside) for inside in INSIDES if not re.search(rf"\b{inside.name}\b", room)] == []
    assert len(INSIDES) == len({described(inside) for inside in INSIDES})


def test_kafka_python_is_held_to_the_version_with_these_insides() -> None:
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    [pin] = [each for each in needs if each.startswith("kafka-python")]
    assert pin.endswith("<3.1")
    assert kafka.__version__.startswith("3.0.")
