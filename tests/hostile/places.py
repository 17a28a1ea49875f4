"""Servers that are not where the settings say: nobody, somebody who says nothing, or somebody else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from tests.helpers.command_line import commands
from tests.helpers.listeners import listener
from tests.helpers.postgres_cluster import cluster
from tests.helpers.servers import at_port
from tests.hostile.lines import Line, plain

SERVERS = ("PostgreSQL", "Redis", "Kafka")
_HTTP = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
# What would take the schema away from all others, or ask for an answer.
_GENTLE = {"db downgrade": ("db", "downgrade", "-1", "--dry-run")}


@contextmanager
def ports(stack: Mapping[str, str], *, postgres: bool = True) -> Iterator[dict[str, str]]:
    """What may be on the other end, with its port; `stack` is a running one's environment.

    Without `postgres`, there is none that takes connections over TCP: it takes seconds to make.
    """
    with ExitStack() as running:
        made = {
            "nobody": "1",
            "somebody who says nothing": str(running.enter_context(listener()).port),
            "somebody who hangs up": str(running.enter_context(listener(hang_up=True)).port),
            "an HTTP server": str(running.enter_context(listener(_HTTP)).port),
            "a babbler": str(running.enter_context(listener(b"\xff" * 256)).port),
            "Redis": stack["REDIS_PORT"],
            "Kafka": stack["KAFKA_BOOTSTRAP_SERVERS"].split(",")[0].rpartition(":")[2],
        }
        if postgres:
            server = running.enter_context(cluster())
            server.start()
            made["PostgreSQL"] = str(server.port)
        yield made


def lines(found: Mapping[str, str]) -> list[Line]:
    """Each command, with each server at each of these ports but its own."""
    return [
        _line(name, server, what, port)
        for name, _ in commands()
        for server in SERVERS
        for what, port in found.items()
        if what != server
    ]


def _line(name: str, server: str, what: str, port: str) -> Line:
    arguments = _GENTLE.get(name, plain(name).arguments)
    group = {
        "KAFKA_GROUP": f"hostile-{name}-{server}-{what}".replace(" ", "-")
    }  # members of one would share partitions
    return Line(name, arguments, f"for {server}, {what}", environment={**at_port(server, port), **group})
