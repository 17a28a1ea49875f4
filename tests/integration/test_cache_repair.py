"""Anything at all under the keys of the cache: no command breaks, and the next refresh puts it right."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from sesacctl.cache.client import CacheReader, connect
from sesacctl.cache.meta import META, Meta, parse
from sesacctl.cache.snapshot import read_rounds, rounds_key
from sesacctl.cache.state import read_state
from sesacctl.errors import CacheEmpty
from sesacctl.pipeline.refresh.fairness import read_fairness
from sesacctl.pipeline.refresh.stats import read_stats
from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.pipeline.watch.checks import judge
from sesacctl.pipeline.watch.probes import read_redis
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.cache_data import fill
from tests.helpers.observations import GOOD
from tests.helpers.topics import make_topics

FIELDS = ("generation", "time", "period", "size", "fresh", "users", "products")
WRONG: dict[str, Callable[[Any], object]] = {
    "a list": lambda redis: redis.delete(META) and redis.rpush(META, "x"),
    "text": lambda redis: redis.set(META, "x"),
    "nothing": lambda redis: redis.delete(META),
    "one field": lambda redis: redis.delete(META) and redis.hset(META, "generation", "7"),
    "text for numbers": lambda redis: redis.hset(META, mapping=dict.fromkeys(FIELDS, "홍길동")),
    "bytes": lambda redis: redis.hset(META, mapping=dict.fromkeys(FIELDS, b"\xff\xfe")),
    "empty": lambda redis: redis.hset(META, mapping=dict.fromkeys(FIELDS, "")),
    "no numbers": lambda redis: redis.hset(META, mapping=dict.fromkeys(FIELDS, "nan")),
    "endless": lambda redis: redis.hset(META, mapping=dict.fromkeys(FIELDS, "inf")),
    "negative": lambda redis: redis.hset(META, mapping=dict.fromkeys(FIELDS, "-5")),
    "too large": lambda redis: redis.hset(META, mapping=dict.fromkeys(FIELDS, str(2**63 - 1))),
    "a time without a zone": lambda redis: redis.hset(META, "time", "2026-11-22T20:00:00"),
    "rounds of another type": lambda redis: [redis.set(rounds_key(table), "x") for table in ("users", "products")],
    "rounds that are none": lambda redis: redis.lpush(rounds_key("users"), "x", b"\xff", "9" * 30),
    "rows of another type": lambda redis: [redis.set(f"cache:{table}", "x") for table in ("users", "products")],
}


@pytest.fixture
def shop(settings: Settings) -> Settings:
    """Topics and a cache."""
    make_topics(settings)
    fill(settings, users=10, products=10)
    with Refresher(settings) as refresher:
        refresher.run_once()
    return settings


def look(settings: Settings) -> None:
    """At all of it, as the commands do; an empty cache is said to be empty."""
    with connect(settings) as redis, suppress(CacheEmpty):
        CacheReader(redis).users()
    read_stats(settings)
    read_fairness(settings)
    judge(replace(GOOD, redis=read_redis(settings)), ())


@pytest.mark.parametrize("wrong", WRONG)
def test_a_damaged_cache_is_fixed_by_the_next_refresh(shop: Settings, wrong: str) -> None:
    with connect(shop) as redis:
        WRONG[wrong](redis)
        look(shop)
        with Refresher(shop) as refresher:
            result = refresher.run_once()
        look(shop)
        state = read_state(redis)
        assert (state.refreshed_at, state.generation) == (result.at, result.generation)
        assert (state.size, state.fresh, state.empty) == (1000, 500, ())
        assert state.generation is not None
        assert all(read_rounds(redis, table) for table in ("users", "products"))
        reader = CacheReader(redis)
        assert len(reader.users()) == 10
        assert reader.generation == state.generation


def test_commands_survive_a_damaged_cache(shop: Settings, sesacctl: Cli) -> None:
    with connect(shop) as redis:
        WRONG["text for numbers"](redis)
    commands = ("cache stats", "health", "top --once", "produce --count 2 --rate 0 --new-users 0 --new-products 0")
    for command in (*commands, "cache refresh"):
        done = sesacctl(*command.split())
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), f"{command}: {done.stderr}"


def test_the_rounds_of_an_older_version_are_taken_over(shop: Settings) -> None:
    with connect(shop) as redis:
        before = read_rounds(redis, "users")
        redis.rename(rounds_key("users"), "{cache:users}:rounds")
        with Refresher(shop) as refresher:
            refresher.run_once()
        assert read_rounds(redis, "users")[1:] == before
        assert all(table.recorded for table in read_fairness(shop).tables)
        assert {key for key in redis.scan_iter() if not key.startswith(b"cache:")} == set()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("generation", "-1"),
        ("generation", str(2**63)),
        ("time", "now"),
        ("period", "1e999"),
        ("size", "0"),
        ("fresh", "9999"),
    ],
)
def test_invalid_meta_data_count_as_none(name: str, value: str) -> None:
    assert parse({name.encode(): value.encode()}) == Meta()
