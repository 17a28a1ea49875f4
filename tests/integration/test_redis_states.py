"""Servers that do not do what is asked: what is said, what to do next, and that loops go on when it is over."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from redis import RedisError
from redis.exceptions import MovedError

from sesacctl.cache.client import CacheReader, connect
from sesacctl.cache.connections import translate_errors
from sesacctl.errors import ServerRefused, ServerUnreachable
from sesacctl.pipeline.refresh.fairness import read_fairness
from sesacctl.pipeline.refresh.stats import read_stats
from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.pipeline.watch.probes import read_redis
from sesacctl.settings import Settings
from tests.helpers.cache_data import fill
from tests.helpers.cache_loop import looping
from tests.helpers.redis_servers import BINARIES, RedisServer, redis_server
from tests.helpers.shop import fill_cache
from tests.helpers.waiting import wait_until

OPEN = ("--enable-protected-configs", "local")
both = pytest.mark.parametrize("binary", BINARIES)


@contextmanager
def replica(server: RedisServer, *, of: int) -> Iterator[None]:
    server.admin.replicaof("127.0.0.1", of)
    yield
    server.admin.replicaof("NO", "ONE")


@contextmanager
def too_few_replicas(server: RedisServer) -> Iterator[None]:
    server.admin.config_set("min-replicas-to-write", 1)
    yield
    server.admin.config_set("min-replicas-to-write", 0)


@contextmanager
def cannot_save(server: RedisServer) -> Iterator[None]:
    """As with a full disk: its folder is gone."""
    folder = server.folder / "gone"
    folder.mkdir()
    server.admin.config_set("dir", str(folder))
    shutil.rmtree(folder)
    server.admin.config_set("save", "3600 1")
    server.admin.bgsave()
    wait_until(lambda: server.admin.info("persistence")["rdb_last_bgsave_status"] == "err")
    yield
    server.admin.config_set("dir", str(server.folder))
    server.admin.bgsave()
    wait_until(lambda: server.admin.info("persistence")["rdb_last_bgsave_status"] == "ok")


@contextmanager
def busy(server: RedisServer) -> Iterator[None]:
    def run() -> None:
        with suppress(RedisError):
            server.admin.eval("while true do end", 0)

    server.admin.config_set("busy-reply-threshold", 1)
    thread = threading.Thread(target=run)
    thread.start()

    def is_busy() -> bool:
        try:
            server.admin.get("x")
        except RedisError as error:
            return "BUSY" in str(error)
        return False

    wait_until(is_busy)
    yield
    server.admin.script_kill()
    thread.join()


@contextmanager
def no_room_for_clients(server: RedisServer) -> Iterator[None]:
    before = server.admin.config_get("maxclients")["maxclients"]
    server.admin.config_set("maxclients", 1)
    yield
    server.admin.config_set("maxclients", before)


STATES: dict[str, tuple[Callable[[RedisServer], Any], str, str]] = {
    "READONLY": (lambda server: replica(server, of=1), "is a read-only replica", "to the primary"),
    "NOREPLICAS": (too_few_replicas, "fewer replicas", "start its replicas"),
    "MISCONF": (cannot_save, "cannot save to its disk", "free disk space on the Redis server"),
    "BUSY": (busy, "is busy with a script", "SCRIPT KILL"),
}


@both
@pytest.mark.parametrize("state", STATES)
def test_the_loop_waits_for_a_state_to_pass_and_says_what_to_do(
    settings: Settings, binary: Path, state: str, caplog: pytest.LogCaptureFixture
) -> None:
    enter, words, hint = STATES[state]
    fill(settings, users=10, products=10)
    with redis_server(binary, *OPEN) as server, looping(server.settings(settings)) as loop:
        with enter(server):
            with pytest.raises(ServerUnreachable) as waited:
                fill_cache(server.settings())
            assert words in str(waited.value)
            assert "cannot be reached" not in str(waited.value)
            assert hint in str(waited.value.hint)
            wait_until(lambda: words in caplog.text)
        loop.next_rounds(1)


@both
def test_a_redis_that_cannot_save_still_serves_the_producers(binary: Path) -> None:
    with redis_server(binary, *OPEN) as server:
        fill_cache(server.settings())
        with cannot_save(server), connect(server.settings()) as redis:
            assert len(CacheReader(redis).users()) == 50
            assert CacheReader(redis).is_connected()


@both
def test_a_connection_to_a_replica_is_not_kept(binary: Path) -> None:
    """After a fail-over the name leads to another server."""
    with redis_server(binary) as server, connect(server.settings()) as redis:
        with replica(server, of=1), pytest.raises(ServerUnreachable), translate_errors(redis):
            redis.delete("cache:users")
        wait_until(lambda: len(server.admin.client_list()) == 1, message="it is still connected")


@both
def test_a_replica_that_has_lost_its_primary_says_so(binary: Path) -> None:
    with redis_server(binary, "--replica-serve-stale-data", "no") as server, connect(server.settings()) as redis:
        fill_cache(server.settings())
        with replica(server, of=1), pytest.raises(ServerUnreachable, match="has lost its primary") as refused:
            CacheReader(redis).users()
        assert "start the primary" in str(refused.value.hint)
        assert len(CacheReader(redis).users()) == 50


@both
def test_a_redis_that_takes_no_more_clients_says_so(binary: Path) -> None:
    with redis_server(binary) as server:
        server.admin.ping()
        with no_room_for_clients(server):
            with pytest.raises(ServerUnreachable, match="takes no more clients") as refused:
                fill_cache(server.settings())
            assert "maxclients" in str(refused.value.hint)


@both
def test_a_redis_that_loads_its_data_says_so(binary: Path) -> None:
    slow = ("--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024")
    with redis_server(binary) as server:
        pipeline = server.admin.pipeline()
        for number in range(2000):
            pipeline.set(f"filler:{number}", "x" * 1000)
        pipeline.execute()
        server.admin.save()
        server.stop()
        server.start(*slow)
        with pytest.raises(ServerUnreachable, match="is still loading its data") as loading:
            fill_cache(server.settings())
        assert loading.value.hint == "sesacctl health --wait"


@both
def test_a_cluster_of_one_shard_works(settings: Settings, binary: Path) -> None:
    fill(settings, users=10, products=10)
    with redis_server(binary, "--cluster-enabled", "yes") as server:
        own = server.settings(settings)
        with Refresher(own) as refresher:
            with pytest.raises(ServerUnreachable, match="is a Redis Cluster that is down"):
                refresher.run_once()
            server.admin.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            wait_until(lambda: server.admin.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
            refresher.run_once()
            assert refresher.run_once().generation == 2
        with connect(own) as redis:
            assert len(CacheReader(redis).users()) == 10
        assert read_redis(own).cache.generation == 2
        assert [table.cached for table in read_stats(own).tables] == [10, 10]
        assert all(table.recorded for table in read_fairness(own).tables)
        with connect(server.settings(redis_db=3)) as redis, pytest.raises(ServerRefused) as refused:
            CacheReader(redis).users()
        assert str(refused.value.hint).startswith("set REDIS_DB=0")


@both
def test_a_cluster_of_several_shards_is_refused_by_that_name(settings: Settings, binary: Path) -> None:
    fill(settings, users=10, products=10)
    options = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no")
    with redis_server(binary, *options) as one, redis_server(binary, *options) as other:
        slots = [
            one.admin.execute_command("CLUSTER KEYSLOT", f"cache:{name}") for name in ("users", "products", "meta")
        ]
        other.admin.execute_command("CLUSTER", "ADDSLOTS", *slots)
        one.admin.execute_command("CLUSTER", "ADDSLOTS", *(slot for slot in range(16384) if slot not in slots))
        one.admin.execute_command("CLUSTER", "MEET", "127.0.0.1", other.port)
        own = one.settings(settings)
        wait_until(lambda: _is_moved(one))

        def refresh() -> None:
            with Refresher(own) as refresher:
                refresher.run_once()

        for ask in (refresh, lambda: CacheReader(connect(own)).users(), lambda: read_redis(own)):
            with pytest.raises(ServerRefused, match="is a Redis Cluster of several shards") as refused:
                ask()
            assert "Redis without cluster mode" in str(refused.value.hint)
            assert not refused.value.retriable


def _is_moved(server: RedisServer) -> bool:
    try:
        server.admin.get("cache:meta")
    except RedisError as error:
        return isinstance(error, MovedError)
    return False
