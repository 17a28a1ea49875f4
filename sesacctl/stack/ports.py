"""Free TCP ports on the loopback address."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence

from sesacctl.errors import ServerNotStarted
from sesacctl.waiting import wait_until

HOST = "127.0.0.1"
# Below the ports that Linux and macOS give to outgoing connections, which come and go.
CANDIDATES = range(20_000, 30_000)


def is_free(port: int) -> bool:
    """Whether a server could listen on it now."""
    with socket.socket() as probe:
        # As the servers do: a port with old connections in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def becomes_free(port: int, seconds: float) -> bool:
    """`is_free`, checked again for a while: a killed server frees its ports when its last thread has ended."""
    return wait_until(lambda: is_free(port), seconds, every=0.05)


def choose(count: int, candidates: Sequence[int] = CANDIDATES) -> list[int]:
    """`count` free ports, from a random place on, so that two stacks that start together seldom meet.

    Raises:
        ServerNotStarted: there are not enough.
    """
    start = random.randrange(len(candidates))
    found: list[int] = []
    for port in (*candidates[start:], *candidates[:start]):
        if is_free(port):
            found.append(port)
            if len(found) == count:
                return found
    raise ServerNotStarted(
        f"{count} free ports are needed on {HOST} and {len(found)} of {candidates[0]}-{candidates[-1]} are free",
        hint="stop a program that holds ports there, then: sesacctl up",
    )


def answers(port: int) -> bool:
    """Whether something listens there."""
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True
