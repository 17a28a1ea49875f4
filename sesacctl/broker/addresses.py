"""The addresses that brokers advertise: bootstrap servers answer, and every other request goes to those.

kafka-python only logs which of them it cannot connect to, and raises an error that names none.
"""

from __future__ import annotations

import threading
import time

from kafka.errors import KafkaConnectionError, KafkaTimeoutError, RequestTimedOutError

from sesacctl.broker.kafka_python import connections
from sesacctl.broker.oauth import TokenProviderFailed
from sesacctl.errors import ServerUnreachable
from sesacctl.settings import Settings

_RECENT_SECONDS = 30.0
_UNREACHABLE = (KafkaConnectionError, KafkaTimeoutError, RequestTimedOutError)


class Missed:
    """The addresses of brokers whose last connection failed, in this process, with the reason; for all threads.

    They are told only to those who have a bootstrap server in common with the client that has found them out.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._missed: dict[str, tuple[float, str, frozenset[str]]] = {}

    def watch(self, manager: connections.Manager, settings: Settings) -> None:
        """Note what becomes of the connections that a client makes from now on, but for those to bootstrap servers."""
        servers = frozenset(settings.brokers)

        def note(node: connections.Node, failed: BaseException | None) -> None:
            if not manager.cluster.is_bootstrap(node.node_id) and not manager.closed:
                if isinstance(failed, TokenProviderFailed) or not isinstance(failed, _UNREACHABLE):
                    failed = None  # it can be reached
                self.note(f"{node.host}:{node.port}", servers, failed)

        connections.watch(manager, note)

    def note(self, address: str, servers: frozenset[str], failed: BaseException | None) -> None:
        """Remember the outcome of a connection of a client with these bootstrap servers; None: it was made."""
        with self._lock:
            self._missed.pop(address, None)
            if failed is not None:
                self._missed[address] = time.monotonic(), str(failed), servers

    def addresses(self, settings: Settings) -> dict[str, str]:
        """Those of the last `_RECENT_SECONDS` that are not bootstrap servers, with the reason."""
        since = time.monotonic() - _RECENT_SECONDS
        with self._lock:
            recent = {
                address: why
                for address, (at, why, servers) in self._missed.items()
                if at > since and not servers.isdisjoint(settings.brokers)
            }
        return {address: why for address, why in sorted(recent.items()) if address not in settings.brokers}

    def explain(self, settings: Settings) -> ServerUnreachable | None:
        """The error that names them, and what to do; None if there are none."""
        found = self.addresses(settings)
        if not found:
            return None
        names, why = ", ".join(found), next(iter(found.values()))
        return ServerUnreachable(
            f"the brokers of Kafka at {', '.join(settings.brokers)} advertise {names},"
            f" which cannot be reached from here ({why})",
            hint=f"set advertised.listeners of the brokers to addresses that this host can reach, or start {names}",
        )


missed = Missed()
