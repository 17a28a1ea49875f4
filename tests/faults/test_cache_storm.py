"""Two hundred refreshes while everything that the short tests do once happens again and again, in a random order."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress

import pytest
from redis import exceptions

from sesacctl.cache import connections
from sesacctl.cache.client import connect
from sesacctl.pipeline.refresh.fairness import read_fairness
from sesacctl.settings import load
from tests.helpers.cache_data import cached_ids, fill
from tests.helpers.cache_loop import looping, polling
from tests.helpers.servers import PrivateServer
from tests.helpers.waiting import wait_until

ROUNDS = 200


@pytest.mark.parametrize("seed", [1, 2])
def test_a_reader_never_sees_a_gap(
    private_valkey: PrivateServer, private_postgres: PrivateServer, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(connections, "ANSWER_SECONDS", 0.5)
    settings = private_postgres.over(private_valkey.over(load()))
    fill(settings, users=10_000, products=3000)
    redis = connect(settings)

    def kill(server: PrivateServer) -> Callable[[], None]:
        def action() -> None:
            server.kill()
            server.start()

        return action

    def stop_redis() -> None:
        private_valkey.suspend()
        away = seen.away
        wait_until(lambda: seen.away > away)
        private_valkey.resume()

    def fill_redis(policy: str) -> Callable[[], None]:
        def action() -> None:
            redis.config_set("maxmemory-policy", policy)
            redis.config_set("maxmemory", "6mb")
            with suppress(exceptions.OutOfMemoryError):
                for number in range(80):
                    redis.set(f"filler:{number}", b"x" * 100_000)
            redis.config_set("maxmemory", "0")
            redis.delete(*(f"filler:{number}" for number in range(80)))

        return action

    faults: list[Callable[[], object]] = [
        kill(private_valkey), kill(private_postgres), stop_redis, redis.flushall,
        fill_redis("noeviction"), fill_redis("allkeys-lru"),
    ]  # fmt: skip
    shuffled = random.Random(seed)
    with looping(settings, period=0.05) as loop, polling(settings) as seen:
        while len(loop.rounds) < ROUNDS:
            shuffled.choice(faults)()
            loop.next_rounds(5, timeout=60)
    assert seen.wrong == []
    assert seen.full > ROUNDS
    assert len(cached_ids(settings, "users")) == len(cached_ids(settings, "products")) == 1000
    assert read_fairness(settings).holds
    redis.close()
