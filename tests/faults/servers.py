"""Faults of the servers: brokers, PostgreSQL and Valkey that are killed, stopped, emptied or set back."""

from __future__ import annotations

import shutil
import signal
from contextlib import suppress
from random import Random

import psutil
import psycopg2
from redis import RedisError

from sesacctl.stack.control import BROKERS, POSTGRES, VALKEY
from tests.faults.fault import Fault, Kind, Scene
from tests.faults.stack_control import OwnStack
from tests.helpers.waiting import wait_until

_DOWN = (0.0, 1.0, 4.0)
_STOPPED = (1.0, 3.0, 8.0)


class OwnServers(Fault):
    """Of servers that are the storm's own; `names` are chosen from `among`."""

    def __init__(self, scene: Scene, dice: Random, *, among: tuple[str, ...], count: int = 1) -> None:
        super().__init__(scene, dice)
        assert scene.site.own is not None, "these servers have other users"
        self.stack: OwnStack = scene.site.own
        self.names = tuple(sorted(dice.sample(among, count)))
        self.target = ", ".join(self.names)

    def heal(self) -> None:
        """Have them run again."""
        for name in self.names:
            self.stack.send(name, signal.SIGCONT)
            self.stack.start(name)


class ServerKill(OwnServers):
    """kill -9, and a start some seconds later."""

    def inject(self) -> None:
        """Kill them."""
        for name in self.names:
            self.stack.send(name, signal.SIGKILL)


class KillWithSupervisor(ServerKill):
    """The supervisor dies in the same moment: its instances have nobody to ask, and nowhere to store."""

    def inject(self) -> None:
        """Kill both."""
        supervisor = self.site.children["supervisor"]
        before = supervisor.starts
        supervisor.send(signal.SIGKILL)
        super().inject()
        wait_until(lambda: supervisor.starts > before, message="the supervisor is not started again")


class ServerStop(OwnServers):
    """SIGSTOP of the process alone: PostgreSQL's backends go on."""

    def inject(self) -> None:
        """Stop them."""
        for name in self.names:
            self.stack.send(name, signal.SIGSTOP)


class ServerRestart(OwnServers):
    """An orderly restart."""

    def inject(self) -> None:
        """End them in order."""
        for name in self.names:
            self.stack.stop(name)


class PostgresFrozen(OwnServers):
    """The postmaster and all of its backends stand still."""

    def inject(self) -> None:
        """Stop them all."""
        self._stopped: list[psutil.Process] = []
        if (process := self.stack.process(POSTGRES)) is not None:
            self._stopped = [process, *process.children()]
        for each in self._stopped:
            with suppress(psutil.Error):
                each.suspend()

    def heal(self) -> None:
        """Continue them."""
        for each in self._stopped:
            with suppress(psutil.Error):
                each.resume()


class ValkeySetBack(OwnServers):
    """Killed, and started again with what it had some time ago."""

    def inject(self) -> None:
        """Kill it, and put the old files in place; the first time there are none yet, and it begins empty."""
        data = self.stack.home / "data" / "valkey"
        old = self.site.folder / "valkey.old"
        with self.scene.sampler.emptying_the_cache():
            self.stack.send(VALKEY, signal.SIGKILL)
            now = self.site.folder / "valkey.now"
            data.rename(now)
            data.mkdir()
            if old.exists():
                shutil.copytree(old, data, dirs_exist_ok=True)
                shutil.rmtree(old)
            now.rename(old)


class Backends(Fault):
    """Some of the loop's connections to PostgreSQL are ended by an administrator."""

    def __init__(self, scene: Scene, dice: Random) -> None:
        super().__init__(scene, dice)
        self._share = dice.choice((0.2, 0.5, 1.0))
        self.target = f"{self._share:.0%} of the backends"

    def inject(self) -> None:
        """pg_terminate_backend."""
        with suppress(psycopg2.Error):
            self.site.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE 'sesacctl/%%'"
                " AND hashint4(pid + %s) & 1023 < 1024 * %s",
                self.dice.randrange(1000),
                self._share,
            )


class BackendKill(Fault):
    """kill -9 of one backend: PostgreSQL ends all others and recovers."""

    target = "a backend"

    def inject(self) -> None:
        """Kill it."""
        with suppress(psycopg2.Error, psutil.Error):
            found = self.site.query(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'sesacctl/consume' ORDER BY backend_start"
            )
            if found:
                psutil.Process(found[self.dice.randrange(len(found))][0]).kill()


class CacheEmptied(Fault):
    """FLUSHALL; on shared servers FLUSHDB of our own database."""

    target = "cache"

    def inject(self) -> None:
        """Delete everything."""
        redis = self.site.redis()
        with self.scene.sampler.emptying_the_cache(), suppress(RedisError):
            if self.site.own is None:
                redis.flushdb()
            else:
                redis.flushall()
        redis.close()


def _kinds(room: str, among: tuple[str, ...]) -> tuple[Kind, ...]:
    def kind(verb: str, fault: type[OwnServers], holds: tuple[float, ...], count: int = 1) -> Kind:
        return Kind(
            name=f"{room}.{verb}",
            make=lambda scene, dice: fault(scene, dice, among=among, count=count),
            holds=holds,
            own_stack=True,
            from_heal=fault in (ServerStop, PostgresFrozen),
        )

    common = (
        kind("kill", ServerKill, _DOWN),
        kind("stop", ServerStop, _STOPPED),
        kind("restart", ServerRestart, _DOWN),
    )
    if room == "broker":
        two = (kind("two-killed", ServerKill, _DOWN, 2), kind("two-stopped", ServerStop, _STOPPED, 2))
        return (*common, *two)
    if room == "postgres":
        return (
            *common,
            kind("frozen", PostgresFrozen, _STOPPED),
            kind("kill-with-supervisor", KillWithSupervisor, _DOWN),
        )
    return (*common, kind("set-back", ValkeySetBack, (0.0,)))


KINDS = (
    *_kinds("broker", BROKERS),
    *_kinds("postgres", (POSTGRES,)),
    *_kinds("valkey", (VALKEY,)),
    Kind(name="postgres.backends", make=Backends),
    Kind(name="postgres.backend-killed", make=BackendKill, own_stack=True),
    Kind(name="valkey.emptied", make=CacheEmptied),
)
