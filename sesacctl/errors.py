"""Every error that a user can cause or fix, each with its exit code and the command to run next.

Exit codes: 0 ok, 1 bug, 2 usage, 3 configuration, 4 a server cannot be reached, 5 a check failed,
6 schema not at head, 130 interrupted (a loop: twice), 141 the reader of standard output went away.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

OK = 0
INTERRUPTED_TWICE = 130


class SesacctlError(Exception):
    """sesacctl could not do what was asked."""

    exit_code: ClassVar[int] = 1
    retriable: ClassVar[bool] = False
    default_hint: ClassVar[str | None] = None

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        """`message` defaults to the first line of the class's docstring, `hint` to the class's own."""
        super().__init__(message or (self.__doc__ or "").strip().splitlines()[0])
        self.hint = hint or self.default_hint

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross from an instance to its supervisor: rebuilt without calling a subclass's constructor."""
        return _rebuild, (type(self), str(self), self.hint)


def _rebuild(kind: type[SesacctlError], message: str, hint: str | None) -> SesacctlError:
    error = kind.__new__(kind)
    SesacctlError.__init__(error, message, hint=hint)
    return error


class UsageError(SesacctlError):
    """The command line asks for something that cannot be done."""

    exit_code = 2
    default_hint: ClassVar[str | None] = "sesacctl --help"


class Declined(UsageError):
    """Nothing was done."""

    default_hint = None


class ConfigurationError(SesacctlError):
    """A setting is missing or wrong."""

    exit_code = 3
    default_hint = "sesacctl config show"


class ServerUnreachable(SesacctlError):
    """A server cannot be reached."""

    exit_code = 4
    retriable = True
    default_hint = "sesacctl up"


class ServerNotStarted(SesacctlError):
    """A local server could not be started."""

    exit_code = 4
    default_hint = "sesacctl stack logs"
    log_lines: Sequence[str] = ()

    def __init__(self, message: str | None = None, *, hint: str | None = None, log_lines: Sequence[str] = ()) -> None:
        """`log_lines`: the end of the server's log."""
        super().__init__(message, hint=hint)
        self.log_lines = log_lines


class JarsMissing(ServerNotStarted):
    """Some of Kafka's jars are not here, and none is taken from the network."""

    default_hint = "sesacctl fetch, where there is a network"


class ServerRefused(SesacctlError):
    """A server answered and refused: wrong credentials or missing rights."""

    exit_code = 4


class ServerFull(ServerRefused):
    """A server is out of memory or disk space."""

    retriable = True


class CheckFailed(SesacctlError):
    """A check failed."""

    exit_code = 5


class CacheEmpty(CheckFailed):
    """The cache is empty: there are no users or products to make orders from."""

    default_hint = "sesacctl cache refresh"


class TopicMissing(CheckFailed):
    """A topic does not exist."""

    default_hint = "sesacctl topics init"


class DatabaseMissing(CheckFailed):
    """The server has no such database."""

    default_hint = "sesacctl db init"


class LedgerNotWritten(CheckFailed):
    """The ledger cannot be written."""

    default_hint = (
        "free disk space, then sesacctl produce with a new --ledger; the old ledger is intact: sesacctl audit"
    )


class PartitionMissing(CheckFailed):
    """The topic has no such partition."""

    default_hint = "sesacctl topics list"


class OffsetMissing(CheckFailed):
    """The log does not hold this offset."""

    default_hint = "sesacctl topics list"


class EventTooLarge(CheckFailed):
    """An event is larger than Kafka takes."""

    default_hint = "sesacctl db check"


class CannotKeepAlive(CheckFailed):
    """A consumer process keeps crashing."""

    default_hint = "sesacctl health, then sesacctl consume"


class AlreadySeeded(CheckFailed):
    """There are sample rows already; nothing was added."""

    default_hint = "sesacctl db seed --append, if you want more"


class UserMissing(CheckFailed):
    """There is no such user."""

    default_hint = "sesacctl consume --until-empty, if the user may still be in Kafka; then the same command again"


class DeadLetterMissing(CheckFailed):
    """There is no such dead letter."""

    default_hint = "sesacctl dlq list"


class UnreadableBatch(CheckFailed):
    """A batch of records cannot be read."""


class OffsetGap(CheckFailed):
    """Records that were not stored yet are no longer on the brokers."""

    default_hint = "sesacctl topics describe, then restore the topic, or sesacctl consume --accept-gap"

    def __init__(self, partition: str, first: int, end: int, why: str) -> None:
        """Offsets from `first` up to but not including `end`; `why` continues the sentence."""
        super().__init__(f"{partition}: offsets {first} to {end - 1} are not in PostgreSQL and not in Kafka: {why}")


class LogCut(CheckFailed):
    """A log is not the one that was read: the brokers have lost its end, or another has taken its place."""

    default_hint = "restore the topic, or sesacctl offsets accept-cut --dry-run"


class HeldBack(CheckFailed):
    """What is left in Kafka is behind another producer's open transaction."""

    default_hint = "sesacctl lag; end that producer's transaction, then the same command again"


class InvalidRow(CheckFailed):
    """A value does not fit its column."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class NotFound(CheckFailed):
    """There is no row with this key."""

    def __init__(self, field: str, key: str) -> None:
        super().__init__(f"{field}: there is no {field.removesuffix('_id')} {key!r}")
        self.field = field


class SchemaNotAtHead(SesacctlError):
    """The database's schema is not at the revision that this sesacctl was made for."""

    exit_code = 6
    default_hint = "sesacctl db migrate"


class TablesNotOurs(SesacctlError):
    """Tables of another program are where sesacctl's belong."""

    exit_code = 6
    default_hint = "set POSTGRES_SCHEMA to a schema of its own, such as POSTGRES_SCHEMA=sesacctl; then sesacctl db init"


class IdentityInUse(ConfigurationError):
    """Another supervisor consumes under the same identity."""

    default_hint = "delete the supervisors folder below SESAC_HOME on one of the hosts, then sesacctl consume"


class GroupShared(ConfigurationError):
    """Another application is a member of the consumer group."""

    default_hint = "set KAFKA_GROUP to a name that nobody else uses, or end that application, then sesacctl consume"
