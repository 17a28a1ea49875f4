"""When nothing names the servers: those on localhost may be somebody else's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sesacctl.cli import render

_INSTEAD = "sesacctl up, or set POSTGRES_HOST, REDIS_HOST and KAFKA_BOOTSTRAP_SERVERS; or the same command with --yes"

if TYPE_CHECKING:
    from sesacctl.settings import Settings


def tell(settings: Settings, *, yes: bool | None) -> None:
    """Say which servers are used; before something is written (`yes` is not None), ask.

    Raises:
        UsageError: there is no terminal to ask on, and `yes` is False.
        Declined: the answer was not yes.
    """
    kafka = ", ".join(settings.brokers)
    servers = (
        f"PostgreSQL at {settings.postgres_host}:{settings.postgres_port},"
        f" Redis at {settings.redis_host}:{settings.redis_port}, Kafka at {kafka}"
    )
    render.say(f"nothing names the servers (no variable, no .env here, no local stack that runs): taking {servers}")
    if yes is not None:
        render.confirm("Nothing names the servers: write to those on localhost?", yes=yes, instead=_INSTEAD)
