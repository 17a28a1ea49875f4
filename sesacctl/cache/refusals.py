"""What Redis and Valkey say when they do not do what was asked, in the user's words, with what to do next."""

from __future__ import annotations

import re
from typing import NamedTuple

from redis import exceptions

from sesacctl.errors import ServerFull, ServerRefused, ServerUnreachable, SesacctlError

_REACH_HINT = "start that server, or set REDIS_URL, or REDIS_HOST and REDIS_PORT"
_STACK_HINT = "sesacctl up, or set REDIS_URL, or REDIS_HOST and REDIS_PORT"
_LOGIN_HINT = "set REDIS_PASSWORD, and REDIS_USERNAME for an ACL user"
# A pipeline puts the command before the error, and with it the rows that it writes: only its name and keys are shown.
_COMMAND = re.compile(r"^Command # \d+ \((.*)\) of pipeline caused error: ", re.DOTALL)
_DISCARDED = "Transaction discarded because of: "  # before the reply that EXEC itself got
_NO_MULTI = "EXEC without MULTI"  # redis-py continues where MULTI was refused
_TWO_KEYS = ("RENAME",)
_CODES: tuple[tuple[type[exceptions.RedisError], str], ...] = (
    # redis-py takes the code off those that it has a class for; a class stands before the one that it inherits from.
    (exceptions.NoPermissionError, "NOPERM"),
    (exceptions.OutOfMemoryError, "OOM"),
    (exceptions.ReadOnlyError, "READONLY"),
    (exceptions.MasterDownError, "MASTERDOWN"),
    (exceptions.ClusterDownError, "CLUSTERDOWN"),
    (exceptions.TryAgainError, "TRYAGAIN"),
    (exceptions.BusyLoadingError, "LOADING"),
    (exceptions.ClusterCrossSlotError, "CROSSSLOT"),
    (exceptions.MovedError, "MOVED"),
    (exceptions.AskError, "ASK"),
)


class _State(NamedTuple):
    """A state of the server: its words and the next step. `passes`: it may end without anybody touching sesacctl."""

    words: str
    hint: str
    passes: bool = True


_CLUSTER = _State(
    "is a Redis Cluster of several shards, which sesacctl does not support",
    "use a Redis without cluster mode, or a Redis Cluster of one shard: docs/operations.md",
    passes=False,
)
_STATES = {
    "READONLY": _State("is a read-only replica", "set REDIS_URL, or REDIS_HOST and REDIS_PORT, to the primary"),
    "MASTERDOWN": _State(
        "is a replica that has lost its primary", "start the primary, or set REDIS_URL, or REDIS_HOST, to it"
    ),
    "NOREPLICAS": _State(
        "takes no writes: it has fewer replicas than its min-replicas-to-write", "start its replicas again"
    ),
    "MISCONF": _State(
        "takes no writes: it cannot save to its disk", "free disk space on the Redis server; see its log"
    ),
    "LOADING": _State("is still loading its data", "sesacctl health --wait"),
    "BUSY": _State("is busy with a script of another client", "wait for that script, or redis-cli SCRIPT KILL"),
    "CLUSTERDOWN": _State("is a Redis Cluster that is down", "redis-cli CLUSTER INFO"),
    "TRYAGAIN": _State("is a Redis Cluster that is moving this slot", "wait until its slots are moved"),
    "MOVED": _CLUSTER,
    "ASK": _CLUSTER,
    "CROSSSLOT": _CLUSTER,
}
_SENTENCES = {
    "max number of clients reached": _State("takes no more clients", "close other clients, or raise its maxclients"),
    "SELECT is not allowed in cluster mode": _State(
        "is a Redis Cluster, which has only database 0", "set REDIS_DB=0", passes=False
    ),
    "DB index is out of range": _State(
        "has no database of that number", "set REDIS_DB=0, or less than its setting databases", passes=False
    ),
    "DENIED Redis is running in protected mode": _State(
        "takes clients of its own machine only (protected mode)", "set a password there, then REDIS_PASSWORD", False
    ),
    "AUTH <password> called without any password": _State(
        "has no password, and one was sent", "unset REDIS_PASSWORD, or take it out of REDIS_URL", False
    ),
}
_LOGIN = ("NOAUTH", "WRONGPASS")
STALE = ("READONLY", "MASTERDOWN")
"""States in which the address may lead to another server by now: its connections are not worth keeping."""


def code(error: Exception) -> str:
    """The reply's code, such as `WRONGTYPE`; empty if it has none that is known here."""
    for kind, known in _CODES:
        if isinstance(error, kind):
            return known
    first = _text(error).partition(" ")[0]
    return first if first.isupper() else ""


def _text(error: Exception) -> str:
    return _COMMAND.sub("", str(error)).removeprefix(_DISCARDED)


def name_command(error: Exception, command: str, *arguments: object) -> None:
    """Put the command and its key before the error, as pipelines do."""
    asked = " ".join((command, *map(str, arguments[:1])))
    error.args = (f"Command # 1 ({asked}) of pipeline caused error: {error}", *error.args[1:])


def to_sesacctl_error(error: Exception, server: str, user: str, *, of_stack: bool) -> SesacctlError:
    """An error of redis-py or of the network; `server` says which, `user` is the name that was logged in with.

    `of_stack`: whether it is the local stack's server, or would be.
    """
    text, known = _text(error), code(error)
    if known == "NOPERM" or text.startswith(_NO_MULTI):
        return _no_permission(str(error), text, server, user)
    if known == "OOM":
        return ServerFull(f"{server} is full: {text}", hint="raise its maxmemory, or remove what else it holds")
    if known in _LOGIN or isinstance(error, exceptions.AuthorizationError):
        return ServerRefused(f"{server} refused: {text}", hint=_LOGIN_HINT)
    state = _STATES.get(known) or next((s for start, s in _SENTENCES.items() if text.startswith(start)), None)
    if state is not None:
        kind = ServerUnreachable if state.passes else ServerRefused
        return kind(f"{server} {state.words}: {text}", hint=state.hint)
    return _by_class(error, text, server, _STACK_HINT if of_stack else _REACH_HINT)


def _by_class(error: Exception, text: str, server: str, reach: str) -> SesacctlError:
    match error:
        case exceptions.AuthenticationError():
            return ServerRefused(f"{server} refused: {text}", hint=_LOGIN_HINT)
        case exceptions.ResponseError():
            return ServerRefused(
                f"{server} refused: {_asked(str(error))}{text}", hint="sesacctl health; the server's log says more"
            )
        case exceptions.InvalidResponse():
            return ServerRefused(f"{server} is not a Redis server: it does not speak the protocol", hint=reach)
        case UnicodeError():
            return ServerUnreachable(f"{server} cannot be reached: invalid host name", hint=reach)
        case _:
            return ServerUnreachable(f"{server} cannot be reached: {text}", hint=reach)


def _no_permission(whole: str, text: str, server: str, user: str) -> ServerRefused:
    command = re.search(r"'([a-z|_-]+)' (?:command|subcommand)", text)
    right = "+multi" if text.startswith(_NO_MULTI) else f"+{command[1]}" if command else "~cache:*"
    return ServerRefused(
        f"{server} refused: {_asked(whole)}{text}",
        hint=f"redis-cli ACL SETUSER {user} {right}; all that is needed: docs/operations.md",
    )


def _asked(whole: str) -> str:
    """The command's name and its keys, as far as they are known: `HSET of cache:users: `."""
    if not (found := _COMMAND.match(whole)):
        return ""
    name, *words = found[1].split()
    keys = words[: 2 if name in _TWO_KEYS else 1]
    return f"{name} of {' and '.join(keys)}: " if keys and keys[0].startswith("cache:") else f"{name}: "
