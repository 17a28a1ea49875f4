"""Which bootstrap servers answer, before kafka-python connects: it draws one at random, and gives it all its time.

Asked over a socket of our own, not by clients: a client costs more, and what refuses one broker's connection would be
logged beside what refuses another's.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from sesacctl.broker.security import tls_context
from sesacctl.settings import Settings

GRACE_SECONDS = 0.25  # for the others, once one has answered
_API_VERSIONS, _METADATA = 18, 3
_CLIENT = b"sesacctl"
_QUESTION = struct.pack(f">hhih{len(_CLIENT)}s", _API_VERSIONS, 0, 1, len(_CLIENT), _CLIENT)
_LARGEST_ANSWER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reachable:
    """Bootstrap servers, as `host:port`, in the order of the settings; `silent` gave no answer, or a wrong one."""

    answering: list[str]
    silent: list[str]


def reachable(settings: Settings, *, seconds: float, grace: float | None = None) -> Reachable:
    """Ask all bootstrap servers at once for what every broker answers before any login.

    Returns when all have answered or refused, `grace` seconds after the first answer, or after `seconds`.

    Raises:
        ConfigurationError: a file for TLS cannot be used.
    """
    outcomes = SimpleQueue[tuple[str, bool]]()

    secured = settings.kafka_security_protocol.endswith("SSL")
    context = tls_context(settings, verify=False) if secured else None  # brokers may ask for our certificate here, too

    def ask(server: str) -> None:
        outcomes.put((server, _answers(server, seconds, context)))

    for server in settings.brokers:
        threading.Thread(target=ask, args=(server,), name=f"ask-{server}", daemon=True).start()
    answered: dict[str, bool] = {}
    deadline = time.monotonic() + seconds
    while len(answered) < len(set(settings.brokers)):
        try:
            server, good = outcomes.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            break
        if good and grace is not None and not any(answered.values()):
            deadline = min(deadline, time.monotonic() + grace)
        answered[server] = good
    return Reachable(
        answering=[server for server in settings.brokers if answered.get(server)],
        silent=[server for server in settings.brokers if not answered.get(server)],
    )


def _answers(server: str, seconds: float, context: ssl.SSLContext | None) -> bool:
    """Whether a Kafka broker is there; its certificate is left to the client, who says what is wrong with it."""
    host, _, port = server.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), seconds) as connection:
            if context:
                with context.wrap_socket(connection, server_hostname=host) as secured:
                    return _is_broker(secured)
            return _is_broker(connection)
    except (OSError, ValueError, struct.error):
        return False


def _is_broker(connection: socket.socket) -> bool:
    """Ask for the requests that it knows. A controller answers, too, but knows nothing of topics."""
    connection.sendall(struct.pack(">i", len(_QUESTION)) + _QUESTION)
    (size,) = struct.unpack(">i", _read(connection, 4))
    if not 0 < size <= _LARGEST_ANSWER:
        return False
    answer = _read(connection, size)
    correlation, error, count = struct.unpack_from(">ihi", answer)
    keys = [struct.unpack_from(">h", answer, 10 + 6 * number)[0] for number in range(min(count, size // 6))]
    return (correlation, error) == (1, 0) and _METADATA in keys


def _read(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        part = connection.recv(size - len(found))
        if not part:
            raise ConnectionError("hung up")
        found += part
    return found
