"""How Redis is addressed, and what its errors become."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis, SSLConnection, exceptions
from redis._parsers import BaseParser

from sesacctl.cache.client import CacheReader
from sesacctl.cache.connections import address, connect, translate_errors
from sesacctl.errors import ConfigurationError, ServerFull, ServerRefused, ServerUnreachable, SesacctlError
from sesacctl.settings import Settings

SECRET = "p@ss:w/rd?#[한글]"


def options(**fields: Any) -> dict[str, object]:
    redis = connect(Settings(**fields))
    return redis.connection_pool.connection_kwargs


def test_parts_with_an_acl_user_and_any_password() -> None:
    found = options(redis_host="cache.example", redis_port=6380, redis_db=3, redis_username="u", redis_password=SECRET)
    assert (found["host"], found["port"], found["db"]) == ("cache.example", 6380, 3)
    assert (found["username"], found["password"]) == ("u", SECRET)


def test_a_url_takes_the_place_of_the_parts_and_is_bounded_too() -> None:
    found = options(redis_url="redis://u:p%40ss@cache.example:7000/5", redis_host="other")
    assert (found["host"], found["port"], found["db"], found["password"]) == ("cache.example", 7000, 5, "p@ss")
    assert 0 < float(str(found["socket_timeout"])) <= 5
    assert 0 < float(str(found["socket_connect_timeout"])) <= 5


def test_rediss_is_tls_with_the_certificate_checked() -> None:
    redis = connect(Settings(redis_url="rediss://cache.example:6380/0"))
    connection = redis.connection_pool.connection_class(**redis.connection_pool.connection_kwargs)
    assert isinstance(connection, SSLConnection)
    assert connection.check_hostname


def test_a_socket_is_addressed_by_its_path() -> None:
    assert address(connect(Settings(redis_url="unix:///run/valkey.sock"))) == "/run/valkey.sock"


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://localhost:port"])
def test_a_wrong_url_is_reported_without_its_secrets(url: str) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL") as caught:
        connect(Settings(redis_url=url.replace("//", "//user:canary@")))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (exceptions.ConnectionError("refused"), ServerUnreachable),
        (exceptions.TimeoutError("timed out"), ServerUnreachable),
        (exceptions.BusyLoadingError("loading"), ServerUnreachable),
        (exceptions.AuthenticationError("WRONGPASS"), ServerRefused),
        (exceptions.NoPermissionError("NOPERM"), ServerRefused),
        (exceptions.ResponseError("WRONGTYPE"), ServerRefused),
        (exceptions.OutOfMemoryError("OOM"), ServerFull),
    ],
)
def test_errors_are_translated_and_name_the_server(error: Exception, ours: type[SesacctlError]) -> None:
    redis = connect(Settings(redis_host="cache.example", redis_port=6380))
    with pytest.raises(SesacctlError) as caught, translate_errors(redis):
        raise error
    assert type(caught.value) is ours
    assert "cache.example:6380" in str(caught.value)
    assert caught.value.retriable is (ours is not ServerRefused)


CANARY = "c4nary of 홍길동"
CODES = {
    "READONLY You can't write against a read only replica.": (ServerUnreachable, "read-only replica", "to the primary"),
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.": (
        *(ServerUnreachable, "lost its primary", "start the primary"),
    ),
    "CLUSTERDOWN The cluster is down": (ServerUnreachable, "Redis Cluster that is down", "CLUSTER INFO"),
    "TRYAGAIN Multiple keys request during rehashing of slot": (ServerUnreachable, "moving this slot", "wait"),
    "LOADING Redis is loading the dataset in memory": (ServerUnreachable, "loading its data", "health --wait"),
    "MISCONF Redis is configured to save RDB snapshots": (ServerUnreachable, "cannot save", "free disk space"),
    "NOREPLICAS Not enough good replicas to write.": (ServerUnreachable, "fewer replicas", "start its replicas"),
    "BUSY Redis is busy running a script.": (ServerUnreachable, "busy with a script", "SCRIPT KILL"),
    "ERR max number of clients reached": (ServerUnreachable, "takes no more clients", "maxclients"),
    "MOVED 3999 10.0.0.7:6381": (ServerRefused, "Redis Cluster of several shards", "without cluster mode"),
    "ASK 3999 10.0.0.7:6381": (ServerRefused, "Redis Cluster of several shards", "without cluster mode"),
    "CROSSSLOT Keys in request don't hash to the same slot": (ServerRefused, "Redis Cluster", "without cluster mode"),
    "ERR SELECT is not allowed in cluster mode": (ServerRefused, "only database 0", "REDIS_DB=0"),
    "ERR DB index is out of range": (ServerRefused, "no database of that number", "REDIS_DB=0"),
    "DENIED Redis is running in protected mode because": (ServerRefused, "protected mode", "REDIS_PASSWORD"),
    "ERR AUTH <password> called without any password configured for the default user.": (
        *(ServerRefused, "has no password", "unset REDIS_PASSWORD"),
    ),
    "NOAUTH Authentication required.": (ServerRefused, "Authentication required", "set REDIS_PASSWORD"),
    "WRONGPASS invalid username-password pair or user is disabled.": (ServerRefused, "invalid", "REDIS_USERNAME"),
    "OOM command not allowed when used memory > 'maxmemory'.": (ServerFull, "is full", "raise its maxmemory"),
    "WRONGTYPE Operation against a key holding the wrong kind of value": (ServerRefused, "refused: ", ""),
    "NOPERM this user has no permissions to run the 'hset' command": (ServerRefused, "refused: ", "default +hset;"),
    "NOPERM No permissions to access a key": (ServerRefused, "refused: ", "ACL SETUSER default ~cache:*;"),
}
EXECABORT = "EXECABORT Transaction discarded because of: "


@pytest.mark.parametrize("where", ["alone", "in a pipeline", "at EXEC"])
@pytest.mark.parametrize(("reply", "ours"), CODES.items(), ids=[" ".join(reply.split()[:2]) for reply in CODES])
def test_error_replies_are_translated_and_show_no_row(
    reply: str, ours: tuple[type[SesacctlError], str, str], where: str
) -> None:
    kind, words, hint = ours
    parser: Any = BaseParser
    error = parser.parse_error(EXECABORT + reply.removeprefix("ERR ") if where == "at EXEC" else reply)
    if where == "in a pipeline":
        rows = ("HSET", "cache:next:{cache:users}", "u_1", f'{{"name": "{CANARY}"}} of pipeline caused error: \n)')
        pipeline: Any = Redis().pipeline()
        pipeline.annotate_exception(error, 2, rows)
        assert CANARY in str(error)
    with pytest.raises(SesacctlError) as caught, translate_errors(Redis()):
        raise error
    assert type(caught.value) is kind
    assert words in str(caught.value)
    assert hint in str(caught.value.hint or "")
    assert CANARY not in str(caught.value)
    assert "Command #" not in str(caught.value)
    assert "cannot be reached" not in str(caught.value)
    if kind is ServerRefused and where == "in a pipeline" and words == "refused: " and "key" in reply:
        assert "HSET of cache:next:{cache:users}: " in str(caught.value)


def test_an_invalid_host_name_is_an_unreachable_server() -> None:
    reader = CacheReader(connect(Settings(redis_host="a..b")))
    assert not reader.is_connected()
    with pytest.raises(ServerUnreachable, match=r"a\.\.b:6379"):
        reader.users()
