"""What sesacctl sends to Redis, beside the rights that docs/operations.md asks for; and what a missing one does."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from sesacctl.cache.client import CacheReader, connect
from sesacctl.cache.snapshot import publish, take_out
from sesacctl.cache.state import read_state
from sesacctl.errors import ServerRefused, SesacctlError
from sesacctl.pipeline.refresh.fairness import read_fairness
from sesacctl.pipeline.refresh.stats import read_stats
from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.cache_data import fill
from tests.helpers.documents import ROOT
from tests.helpers.redis_servers import BINARIES, RedisServer, redis_server
from tests.helpers.topics import make_topics

TEXT = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SECRET = "wort"


def documented() -> tuple[list[str], set[str], set[str]]:
    """The rule of the documented user, its required and its optional commands, as the table has them."""
    found = re.search(r"^ACL SETUSER sesac (.*)$", TEXT, re.MULTILINE)
    assert found
    table = TEXT[found.end() :].partition("| For | Commands |")[2].partition("\n\n")[0]
    required: set[str] = set()
    optional: set[str] = set()
    for row in table.splitlines()[2:]:
        names = re.findall(r"`([a-z\\|]+)`", row[row.rindex(" | ") :].partition("(")[0])
        (optional if "optional" in row else required).update(name.replace("\\", "") for name in names)
    return found[1].replace("PASSWORD", SECRET).split(), required, optional


RULE, REQUIRED, OPTIONAL = documented()


@pytest.fixture(params=BINARIES)
def server(request: pytest.FixtureRequest) -> Iterator[RedisServer]:
    with redis_server(request.param) as server:
        server.admin.execute_command("ACL", "SETUSER", "sesac", *RULE)
        server.admin.execute_command("ACL", "SETUSER", "default", f">{SECRET}")
        server.admin.connection_pool.connection_kwargs["password"] = SECRET
        yield server


@pytest.fixture
def user(server: RedisServer, settings: Settings) -> Settings:
    """The documented user, in a database other than 0, and rows to cache."""
    fill(settings, users=10, products=10)
    return server.settings(settings, redis_username="sesac", redis_password=SECRET, redis_db=1)


def called(server: RedisServer) -> set[str]:
    """The commands that the server was sent since its statistics were reset."""
    return {name.removeprefix("cmdstat_") for name in server.admin.info("commandstats")} - {"config|resetstat", "auth"}


def everything(settings: Settings) -> None:
    """All that is done with Redis, but for the commands' own words."""
    with Refresher(settings) as refresher, connect(settings) as redis:
        assert not refresher.run_once().skipped
        user, *_ = CacheReader(redis).users()
        take_out(redis, "users", user["user_id"])
        assert not refresher.run_once().skipped
        read_state(redis)
        assert CacheReader(redis).is_connected()
    read_stats(settings)
    read_fairness(settings)


def test_the_rule_has_the_commands_of_the_table() -> None:
    assert {word.removeprefix("+") for word in RULE if word.startswith("+")} == REQUIRED | OPTIONAL


def test_the_documented_rights_are_what_is_sent_and_enough(server: RedisServer, user: Settings, sesacctl: Cli) -> None:
    make_topics(user)
    sesacctl.environment.update(server.environment(REDIS_USERNAME="sesac", REDIS_PASSWORD=SECRET, REDIS_DB="1"))
    server.admin.config_resetstat()
    everything(user)
    for command in (
        "cache refresh",
        "cache stats",
        "cache fairness",
        "cache sample users",
        "db forget u_00000001 --yes",
        "produce --count 5 --rate 0 --new-users 0 --new-products 0",
        "consume --until-empty -n 1",
        "health",
        "top --once",
        "metrics --once",
    ):
        done = sesacctl(*command.split())
        assert (done.returncode, command) == (0, command), done.stderr
    assert called(server) == REQUIRED | OPTIONAL
    # The one refusal: it looks for the rounds of an older sesacctl, once in a process that refreshes.
    assert {entry["object"] for entry in map(_texts, server.admin.acl_log())} <= {
        "{cache:users}:rounds",
        "{cache:products}:rounds",
    }


def test_missing_optional_rights_reduce_output_without_errors(
    server: RedisServer, user: Settings, sesacctl: Cli
) -> None:
    server.admin.execute_command("ACL", "SETUSER", "sesac", "-info", "-memory")
    make_topics(user)
    everything(user)
    sesacctl.environment.update(server.environment(REDIS_USERNAME="sesac", REDIS_PASSWORD=SECRET, REDIS_DB="1"))
    for command in ("health", "top --once", "metrics --once", "cache stats", "cache fairness"):
        done = sesacctl(*command.split())
        assert (done.returncode, command) == (0, command), done.stderr
        if command == "health":
            assert "INFO is refused" in done.stdout
        assert "redis_memory" not in done.stdout
    stats = json.loads(sesacctl("cache", "stats", "-o", "json").stdout)
    assert [stats[key] for key in ("used_memory", "max_memory", "policy", "evicts")] == [None] * 4
    assert stats["tables"][0]["cached"] == 10


def test_a_command_that_is_refused_is_named_with_its_right(server: RedisServer, user: Settings) -> None:
    everything(user)
    for command in sorted(REQUIRED - {"ping", "lpush", "ltrim"}):  # a refresh is as good without the note of its round
        server.admin.execute_command("ACL", "SETUSER", "sesac", f"-{command}")
        with pytest.raises(ServerRefused) as refused:
            everything(user)
        assert command in str(refused.value).lower()
        assert str(refused.value.hint).startswith(f"redis-cli ACL SETUSER sesac +{command};")
        server.admin.execute_command("ACL", "SETUSER", "sesac", f"+{command}")
    everything(user)


@pytest.mark.parametrize("command", ["ping", "lpush", "ltrim"])
def test_optional_commands_are_not_needed(server: RedisServer, user: Settings, command: str) -> None:
    server.admin.execute_command("ACL", "SETUSER", "sesac", f"-{command}")
    everything(user)


def _publish(redis: Any) -> None:
    rows = {f"u{number}": "x" * 1000 for number in range(1000)}
    publish(redis, {"users": rows}, at=datetime.now(UTC), plan={})


ASKED: dict[str, tuple[Callable[[Any], object], list[str]]] = {
    "HMGET of cache:meta": (lambda redis: CacheReader(redis).users(), ["~cache:users", "~cache:products"]),
    "HVALS of cache:users": (lambda redis: CacheReader(redis).users(), ["~cache:meta"]),
    "HLEN of cache:products": (read_state, ["~cache:meta", "~cache:users"]),
    "HGETALL of cache:meta": (read_state, ["~cache:users", "~cache:products"]),
    "DEL of cache:next:{cache:users}": (_publish, ["~cache:meta", "~cache:users"]),
    "RENAME of cache:next:{cache:users} and cache:users": (_publish, ["~cache:next:*"]),
    "HINCRBY of cache:meta": (_publish, ["~cache:next:*", "~cache:users"]),
}


@pytest.mark.parametrize("asked", ASKED)
def test_a_key_that_is_refused_is_named(server: RedisServer, asked: str) -> None:
    ask, granted = ASKED[asked]
    server.admin.execute_command("ACL", "SETUSER", "sesac", "resetkeys", *granted)
    with (
        connect(server.settings(redis_username="sesac", redis_password=SECRET)) as redis,
        pytest.raises(ServerRefused) as refused,
    ):
        ask(redis)
    assert f" refused: {asked}: " in str(refused.value)
    assert "xxx" not in str(refused.value)
    assert "ACL SETUSER sesac ~cache:*" in str(refused.value.hint)


def test_a_missing_password_is_always_reported(server: RedisServer) -> None:
    seen: dict[str, int] = {}
    for number in range(100):
        with connect(server.settings(redis_db=number % 2)) as redis, pytest.raises(SesacctlError) as refused:
            _publish(redis)
        seen[f"{refused.value} {refused.value.hint}"] = seen.get(f"{refused.value} {refused.value.hint}", 0) + 1
    [(text, times)] = seen.items()
    assert times == 100
    assert "Authentication required" in text
    assert "set REDIS_PASSWORD" in text


def _texts(entry: dict[object, object]) -> dict[str, str]:
    return {_text(key): _text(value) for key, value in entry.items()}


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
