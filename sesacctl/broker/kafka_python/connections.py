"""The connections of any of kafka-python's clients: what becomes of them, how long they may take, whom to ask first."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from kafka import KafkaProducer
from kafka.net.compat import KafkaNetClient

_AVOID_SECONDS = 3.0
_CLOCK_SECONDS = 0.01  # a timer may be early by the resolution of its clock
_SETUP_TIMEOUTS = ("socket_connection_setup_timeout_ms", "socket_connection_setup_timeout_max_ms")


class Node(Protocol):
    """A broker."""

    node_id: int | str
    host: str
    port: int


class Cluster(Protocol):
    """What a client knows of the brokers."""

    def is_bootstrap(self, node_id: int | str) -> bool:
        """Whether that is a bootstrap server, which has no id of its own."""


class Manager(Protocol):
    """What holds a client's connections."""

    closed: bool
    cluster: Cluster


Note = Callable[[Node, BaseException | None], None]
"""Called on the network thread with a broker and why there is no connection to it."""


def manager_of(client: Any) -> Any:
    """What holds the connections of an admin client, a consumer or a producer."""
    return client._sender._client._manager if isinstance(client, KafkaProducer) else client._manager


def watch(manager: Any, note: Note) -> None:
    """Have `note` called with the outcome of each connection that is begun from now on; None: it was made."""
    connect = manager._connect

    async def connect_and_note(node: Any, conn: Any, **options: Any) -> None:
        conn.init_future.add_callback(lambda _: note(node, None))
        conn.init_future.add_errback(lambda error: note(node, error))
        await connect(node, conn, **options)

    manager._connect = connect_and_note


def watched_from_the_start(note: Note) -> Callable[..., KafkaNetClient]:
    """The option `kafka_client` of a client, for `watch` before its first connection."""

    def make(**options: Any) -> KafkaNetClient:
        client = KafkaNetClient(**options)
        watch(client._manager, note)
        return client

    return make


def limit_connecting(manager: Any, timeout_ms: int) -> None:
    """Wait no longer for a connection: by itself, an address that hangs would take 10 s and more."""
    manager.config |= dict.fromkeys(_SETUP_TIMEOUTS, timeout_ms)


def wait_for_backoff(manager: Any, timeout_ms: int) -> None:
    """Have a request to a broker that is not to be asked yet wait until it is, if that is within `timeout_ms`.

    By itself it fails at once, although only that broker may know the answer, as the leader of a partition.
    """
    send = manager.send

    def delay(node_id: Any) -> float:
        if node_id is not None:
            return float(manager.connection_delay(node_id))
        if manager.least_loaded_node() is not None:
            return 0.0
        return min((manager.connection_delay(broker.node_id) for broker in manager.cluster.brokers()), default=0.0)

    async def send_later(seconds: float, request: Any, node_id: Any, options: dict[str, Any]) -> Any:
        await manager._net.sleep(seconds)
        return await send(request, node_id, **options)

    def send_when_due(request: Any, node_id: Any = None, **options: Any) -> Any:
        seconds = delay(node_id)
        if not 0 < seconds <= timeout_ms / 1000:
            return send(request, node_id, **options)
        return manager.call_soon(send_later, seconds + _CLOCK_SECONDS, request, node_id, options)

    manager.send = send_when_due


def avoid(manager: Any, silent: Sequence[str], setup_timeout_ms: int) -> None:
    """Have the first requests go to other brokers: for some seconds, the cluster still lists one that hangs.

    A producer needs it not: it asks again until an event's time is over.
    """
    for broker in manager.cluster.brokers() if silent else ():
        if f"{broker.host}:{broker.port}" in silent:
            manager._backoff[broker.node_id] = (1, time.monotonic() + _AVOID_SECONDS, setup_timeout_ms)
