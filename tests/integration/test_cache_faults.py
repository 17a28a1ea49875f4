"""Redis and PostgreSQL killed, stopped, flushed and full under a running loop: the cache stays whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from sesacctl.cache import connections, snapshot
from sesacctl.cache.client import connect
from sesacctl.cache.state import read_state
from sesacctl.errors import ServerFull, ServerUnreachable
from sesacctl.pipeline.refresh import worker as refresh_module
from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.settings import Settings
from tests.helpers.cache_data import cached_ids, fill, fill_up, stamps
from tests.helpers.cache_loop import looping, polling
from tests.helpers.servers import PrivateServer
from tests.helpers.waiting import wait_until


@pytest.fixture
def own(settings: Settings, private_valkey: PrivateServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A database of 3,000 rows each, a Redis to hurt, and little patience with it."""
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 0.3)
    fill(settings, users=3000, products=3000)
    return private_valkey.over(settings)


@pytest.fixture
def redis(own: Settings) -> Iterator[Redis]:
    with connect(own) as redis:
        yield redis


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the loop has said besides its rounds, so far."""
    caplog.set_level(logging.INFO, "sesacctl")
    usual = ("refresh.done", "refresh.overrun")
    return lambda: [action for record in caplog.records if (action := vars(record).get("action", "")) not in usual]


def test_redis_killed(own: Settings, private_valkey: PrivateServer, said: Callable[[], list[str]]) -> None:
    with looping(own) as loop, polling(own) as seen:
        loop.next_rounds()
        private_valkey.kill()
        wait_until(lambda: seen.away > 5 and said())
        private_valkey.start()
        loop.next_rounds()
    assert seen.wrong == []
    assert seen.full > 5
    assert said() == ["refresh.waiting", "refresh.recovered"]


def test_redis_stopped(own: Settings, private_valkey: PrivateServer, said: Callable[[], list[str]]) -> None:
    with looping(own) as loop, polling(own) as seen:
        loop.next_rounds()
        private_valkey.suspend()
        wait_until(lambda: seen.away > 1 and "refresh.waiting" in said())
        private_valkey.resume()
        loop.next_rounds()
    assert seen.wrong == []
    assert said() == ["refresh.waiting", "refresh.recovered"]


def test_redis_flushed(own: Settings, redis: Redis) -> None:
    with looping(own) as loop, polling(own) as seen:
        for _ in range(3):
            redis.flushall()
            loop.next_rounds()
            assert redis.hlen("cache:users") == redis.hlen("cache:products") == 1000
    assert seen.wrong == []


def test_a_full_redis_keeps_the_old_hash_and_all_stamps(own: Settings, redis: Redis) -> None:
    with Refresher(own) as refresher:
        refresher.run_once()
        fill_up(redis)
        before, times = cached_ids(own, "users"), stamps(own, "users")
        with pytest.raises(ServerFull, match="full"):
            refresher.run_once()
        assert (cached_ids(own, "users"), stamps(own, "users")) == (before, times)
        redis.config_set("maxmemory", "0")
        assert refresher.run_once().generation == 2


def test_the_loop_waits_for_a_full_redis(own: Settings, redis: Redis, said: Callable[[], list[str]]) -> None:
    with looping(own) as loop, polling(own) as seen:
        fill_up(redis)
        wait_until(lambda: "refresh.waiting" in said())
        redis.config_set("maxmemory", "0")
        loop.next_rounds()
    assert seen.wrong == []
    assert said() == ["refresh.waiting", "refresh.recovered"]


def test_eviction_is_warned_about_and_unnoticed_by_readers(own: Settings, redis: Redis) -> None:
    redis.config_set("maxmemory-policy", "allkeys-lru")
    with looping(own) as loop, polling(own) as seen:

        def lost() -> bool:
            fill_up(redis)
            return redis.exists("cache:users", "cache:products") < 2

        for _ in range(3):
            wait_until(lost, message="nothing was evicted")
            loop.next_rounds(1)
    assert seen.wrong == []
    assert read_state(redis).evicts


def test_redis_restarted_between_write_and_rename(own: Settings, private_valkey: PrivateServer, redis: Redis) -> None:
    with Refresher(own) as refresher:
        refresher.run_once()
        before = cached_ids(own, "users")
        with polling(own) as seen:
            rest: dict[Any, str] = {f"left over {number}": "{}" for number in range(300)}
            redis.hset(snapshot.next_key("users"), mapping=rest)
            redis.bgrewriteaof()
            wait_until(lambda: not redis.info("persistence")["aof_rewrite_in_progress"])
            private_valkey.kill()
            private_valkey.start()
            assert redis.hlen(snapshot.next_key("users")) == 300
            assert cached_ids(own, "users") == before
            refresher.run_once()
            seen.more()
        newest = max(filter(None, stamps(own, "users").values()))
        assert cached_ids(own, "users") == {key for key, at in stamps(own, "users").items() if at == newest}
        assert not redis.exists(snapshot.next_key("users"))
    assert seen.wrong == []


def test_redis_killed_while_generations_are_written(own: Settings, private_valkey: PrivateServer) -> None:
    with looping(own, period=0.001) as loop, polling(own) as seen:
        for _ in range(5):
            loop.next_rounds(3)
            private_valkey.kill()
            private_valkey.start()
            with connect(own) as redis:
                assert redis.hlen("cache:users") in (0, 1000)  # appendfsync everysec: the last second may be gone
            loop.next_rounds(1)
            assert len(cached_ids(own, "users")) == 1000
            seen.more()
    assert seen.wrong == []
    assert seen.away


@pytest.fixture
def killable(private_postgres: PrivateServer, settings: Settings) -> Settings:
    own = private_postgres.over(settings)
    fill(own, users=3000, products=3000)
    return own


def test_postgres_killed_before_commit_repeats_the_same_rows(
    killable: Settings, private_postgres: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Refresher(killable) as refresher:
        refresher.run_once()
        before = stamps(killable, "users")

        def publish_and_kill(*arguments: Any, **keywords: Any) -> int:
            generation = snapshot.publish(*arguments, **keywords)
            private_postgres.kill()
            return generation

        with polling(killable) as seen:
            monkeypatch.setattr(refresh_module, "publish", publish_and_kill)
            with pytest.raises(ServerUnreachable):
                refresher.run_once()
            monkeypatch.setattr(refresh_module, "publish", snapshot.publish)
            published = cached_ids(killable, "users")
            seen.more()
            private_postgres.start()
            assert stamps(killable, "users") == before
            refresher.run_once()
            seen.more()
        assert cached_ids(killable, "users") == published
    assert (seen.wrong, seen.away) == ([], 0)


def test_postgres_killed_after_commit_lost_no_stamp(killable: Settings, private_postgres: PrivateServer) -> None:
    with Refresher(killable) as refresher:
        refresher.run_once()
        cached = cached_ids(killable, "users")
        with polling(killable) as seen:
            private_postgres.kill()
            seen.more()
            private_postgres.start()
            assert {key for key, at in stamps(killable, "users").items() if at} == cached
    assert (seen.wrong, seen.away) == ([], 0)


def test_postgres_killed_and_stopped_under_the_loop(
    killable: Settings, private_postgres: PrivateServer, said: Callable[[], list[str]]
) -> None:
    with looping(killable) as loop, polling(killable) as seen:
        loop.next_rounds()
        private_postgres.kill()
        wait_until(lambda: "refresh.waiting" in said())
        full = seen.full
        wait_until(lambda: seen.full > full)
        private_postgres.start()
        loop.next_rounds()
    assert seen.wrong == []
    assert seen.away == 0
    assert said() == ["refresh.waiting", "refresh.recovered"]
