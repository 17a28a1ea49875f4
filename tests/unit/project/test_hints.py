"""No hint advises what cannot help: its commands exist, its settings are read, and it fits what was said.

A row of the tables is what a server says, and what the hint has to hold and must not hold. Who mends another text adds
its row.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from kafka import errors as kafka_errors
from redis import Redis, exceptions
from redis._parsers import BaseParser

from sesacctl import errors
from sesacctl.broker.errors import translate_errors as kafka_translated
from sesacctl.broker.kafka_python.connection_errors import Reasons
from sesacctl.cache.connections import translate_errors as redis_translated
from sesacctl.database.refusals import to_sesacctl_error
from sesacctl.errors import SesacctlError
from sesacctl.settings import DbType, load
from tests.helpers.hints import faults, without_advice, written

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SesacctlError)]
WRITTEN = list(written())
KINDS: dict[DbType, dict[str, Any]] = {
    DbType.LOCAL: {},
    DbType.RDS: {"rds_user": "u", "rds_password": "p", "rds_host": "db.example.com", "rds_db": "d"},
    DbType.SUPABASE: {"supabase_direct_url": "postgresql://postgres:x@db.abcd.supabase.co:5432/postgres"},
}
LOCAL, RDS, SUPABASE = DbType.LOCAL, DbType.RDS, DbType.SUPABASE
LOGIN = r"set (POSTGRES_USER|SUPABASE_PASSWORD|RDS_USER)|REDIS_PASSWORD|KAFKA_SASL_PASSWORD"
SCHEMA = r"sesacctl db (migrate|init|downgrade)"
START = r"sesacctl up\b"
ADDRESS = r"set (POSTGRES_HOST|RDS_HOST|REDIS_HOST|REDIS_URL|KAFKA_BOOTSTRAP_SERVERS)"


def told(text: str, code: str, context: str | None, table: str | None) -> psycopg2.Error:
    """An error as psycopg2 makes it of a server's answer: it lets nobody else set what is in it."""
    answer = {"pgcode": code, "diag": SimpleNamespace(context=context, table_name=table, source_function=None)}
    kind: type[psycopg2.Error] = type("Told", (psycopg2.Error,), answer)
    return kind(text)


# What PostgreSQL, a pooler or libpq says: text, SQLSTATE if there is one, context, the table that is named.
Refusal = tuple[str, str | None, str | None, str | None]
TRIGGER = "PL/pgSQL function log_order() line 3 at SQL statement"
DROPPED: list[Refusal] = [
    (text, None, None, None)
    for text in (
        "SSL connection has been closed unexpectedly",
        "SSL SYSCALL error: EOF detected",
        "server closed the connection unexpectedly",
        "could not receive data from server: Connection timed out",
        "SSL error: unexpected eof while reading",
    )
]
UNTRUSTED: list[Refusal] = [
    (text, None, None, None)
    for text in (
        "SSL error: certificate verify failed",
        "server does not support SSL, but SSL was required",
        'server certificate for "a" does not match host name "b"',
    )
]
FULL: list[Refusal] = [
    ("FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute", None, None, None),
    ("FATAL:  sorry, too many clients already", None, None, None),
    (
        "FATAL:  MaxClientsInSessionMode: max clients reached - in Session mode max clients are limited",
        None,
        None,
        None,
    ),
    ("FATAL:  no more connections allowed (max_client_conn)", None, None, None),
    ("remaining connection slots are reserved", "53300", None, None),
]
NO_GRANT: list[Refusal] = [
    ("permission denied for schema public", "42501", None, None),
    ("permission denied for table orders", "42501", None, "orders"),
    ("FATAL:  permission denied for database shop", None, None, None),
]
LOGINS: list[Refusal] = [
    ('FATAL:  password authentication failed for user "shop"', None, None, None),
    ('FATAL:  no pg_hba.conf entry for host "10.0.0.7"', None, None, None),
    ("password authentication failed", "28P01", None, None),
    ("FATAL:  Tenant or user not found", None, None, None),
]
TRIGGERS: list[Refusal] = [
    (text, code, TRIGGER, table)
    for text, code, table in (
        ("no stock", "P0001", None),
        ('relation "log" does not exist', "42P01", None),
        ('column "at" does not exist', "42703", None),
        ("function price(integer) does not exist", "42883", None),
        ("duplicate key value violates unique constraint", "23505", "log"),
        ("null value in column", "23502", "log"),
        ("conflicting key value violates exclusion constraint", "23P01", "log"),
        ("cache lookup failed", "XX000", None),
        ("external routine failed", "38000", None),
        ("new row violates check option for view", "44000", "v"),
        ("null value not allowed", "39004", None),
    )
]  # fmt: skip
GONE: list[Refusal] = [('relation "orders" does not exist', "42P01", None, None), ("no column", "42703", None, None)]
READ_ONLY: list[Refusal] = [("cannot execute INSERT in a read-only transaction", "25006", None, None)]
WAITED: list[Refusal] = [
    ("canceling statement due to lock timeout", "55P03", None, None),
    ("canceling statement due to statement timeout", "57014", None, None),
    ("deadlock detected", "40P01", None, None),
    ("could not serialize access", "40001", None, None),
]
NO_IPV6: list[Refusal] = [
    ('connection to server at "db.abcd.supabase.co" (2600::1), port 5432 failed: Network is unreachable',
     None, None, None),
]  # fmt: skip

POSTGRES: list[tuple[str, list[Refusal], tuple[DbType, ...], str, str]] = [
    ("a dropped connection", DROPPED, (LOCAL, RDS, SUPABASE), "set ", f"SSL|TLS|{LOGIN}|{SCHEMA}"),
    ("untrusted TLS", UNTRUSTED, (LOCAL, RDS, SUPABASE), "PGSSL|SSLROOTCERT|DIRECT_URL", f"{LOGIN}|{SCHEMA}|{START}"),
    ("no slot", FULL, (LOCAL, RDS, SUPABASE), "--instances|max_connections", f"{LOGIN}|{SCHEMA}|{START}|{ADDRESS}"),
    ("no GRANT", NO_GRANT, (LOCAL, RDS, SUPABASE), "GRANT.*roles.sql", f"{LOGIN}|{SCHEMA}|{START}|{ADDRESS}"),
    ("a wrong login", LOGINS, (LOCAL, RDS, SUPABASE), LOGIN, f"{SCHEMA}|{START}|GRANT"),
    ("a trigger", TRIGGERS, (LOCAL, RDS, SUPABASE), "log_order|trigger", f"{SCHEMA}|{LOGIN}|{START}|{ADDRESS}"),
    ("a table that is gone", GONE, (LOCAL, RDS, SUPABASE), SCHEMA, f"{LOGIN}|{START}|{ADDRESS}"),
    ("a wait", WAITED, (LOCAL, RDS, SUPABASE), "again", f"{SCHEMA}|{LOGIN}"),
    ("no IPv6", NO_IPV6, (SUPABASE,), "session pooler.*pooler.supabase.com", f"{LOGIN}|{SCHEMA}|{START}"),
    ("elsewhere than here", DROPPED, (RDS, SUPABASE), "set ", START),
    ("read-only", READ_ONLY, (LOCAL, RDS, SUPABASE), "disk|primary|read.?only", f"{LOGIN}|{SCHEMA}|{START}|{ADDRESS}"),
]


def rows() -> list[Any]:
    return [
        pytest.param(refusal, kind, holds, lacks, id=f"{name}: {refusal[1] or refusal[0][:30]} {kind}")
        for name, refusals, kinds, holds, lacks in POSTGRES
        for refusal in refusals
        for kind in kinds
    ]


@pytest.mark.parametrize(("refusal", "kind", "holds", "lacks"), rows())
def test_what_postgresql_says(refusal: Refusal, kind: DbType, holds: str, lacks: str) -> None:
    text, code, context, table = refusal
    error = told(text, code, context, table) if code else psycopg2.OperationalError(text)
    ours = to_sesacctl_error(error, load(db_type=kind, **KINDS[kind]))
    assert ours is not None
    fits(ours, holds, lacks)


REDIS: list[tuple[str, str, str]] = [
    ("NOAUTH Authentication required.", "REDIS_PASSWORD", f"{SCHEMA}|{START}"),
    ("WRONGPASS invalid username-password pair or user is disabled.", "REDIS_PASSWORD", f"{SCHEMA}|{START}"),
    (
        "NOPERM this user has no permissions to run the 'hset' command",
        "ACL|right|operations",
        f"{SCHEMA}|{START}|{LOGIN}",
    ),
    (
        "MISCONF Redis is configured to save RDB snapshots",
        "disk|stop-writes|snapshot|save",
        f"{SCHEMA}|{START}|{LOGIN}",
    ),
    ("READONLY You can't write against a read only replica.", "primary|master|replica", f"{SCHEMA}|{START}|{LOGIN}"),
    ("OOM command not allowed when used memory > 'maxmemory'.", "maxmemory", f"{SCHEMA}|{START}|{LOGIN}|{ADDRESS}"),
]


@pytest.mark.parametrize(
    ("reply", "holds", "lacks"),
    [pytest.param(*row, id=row[0].split()[0]) for row in REDIS],
)
def test_what_redis_says(reply: str, holds: str, lacks: str) -> None:
    parser: Any = BaseParser
    with pytest.raises(SesacctlError) as caught, redis_translated(Redis()):
        raise parser.parse_error(reply)
    fits(caught.value, holds, lacks)


def test_a_redis_that_is_away() -> None:
    for error in (exceptions.ConnectionError("refused"), exceptions.TimeoutError("timed out"), OSError("no route")):
        with pytest.raises(SesacctlError) as caught, redis_translated(Redis()):
            raise error
        fits(caught.value, ADDRESS, f"{SCHEMA}|REDIS_PASSWORD")


SASL = load(kafka_security_protocol="SASL_SSL", kafka_sasl_username="u", kafka_sasl_password="p")


def translated_by_kafka(error: Exception) -> SesacctlError:
    with pytest.raises(SesacctlError) as caught, kafka_translated(SASL):
        raise error
    return caught.value


def explained_by_kafka(error: Exception) -> SesacctlError:
    reasons = Reasons()
    reasons.note(error)
    found = reasons.explain(SASL)
    assert found is not None
    return found


CERTIFICATE = "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1000)"
KAFKA: list[tuple[Callable[[Exception], SesacctlError], Exception, str, str]] = [
    (
        translated_by_kafka,
        kafka_errors.SaslAuthenticationFailedError("bad"),
        "KAFKA_SASL_USERNAME",
        f"{START}|{SCHEMA}",
    ),
    (translated_by_kafka, kafka_errors.TopicAuthorizationFailedError("orders"), "rights", f"{START}|{SCHEMA}"),
    (translated_by_kafka, kafka_errors.GroupAuthorizationFailedError("group"), "rights", f"{START}|{SCHEMA}"),
    (translated_by_kafka, kafka_errors.UnknownTopicOrPartitionError(), "sesacctl topics init", f"{START}|{SCHEMA}"),
    (translated_by_kafka, kafka_errors.KafkaTimeoutError(), "KAFKA_BOOTSTRAP_SERVERS", f"SASL|{SCHEMA}"),
    (explained_by_kafka, kafka_errors.SaslAuthenticationFailedError("bad"), "KAFKA_SASL_PASSWORD", f"{START}|{SCHEMA}"),
    (explained_by_kafka, kafka_errors.UnsupportedSaslMechanismError("x"), "KAFKA_SASL_MECHANISM", f"{START}|{SCHEMA}"),
    (explained_by_kafka, kafka_errors.KafkaConnectionError(CERTIFICATE), "KAFKA_SSL_CAFILE", f"{START}|SASL|{SCHEMA}"),
    (explained_by_kafka, kafka_errors.KafkaConnectionError("Handshake failed: eof"), "KAFKA_SECURITY_PROTOCOL", START),
    (explained_by_kafka, kafka_errors.KafkaConnectionError("socket disconnected"), "KAFKA_SASL_USERNAME", START),
    (explained_by_kafka, kafka_errors.KafkaConnectionError("refused"), "KAFKA_BOOTSTRAP_SERVERS", f"CAFILE|{SCHEMA}"),
]


@pytest.mark.parametrize(
    ("way", "error", "holds", "lacks"),
    KAFKA,
    ids=[f"{row[0].__name__}: {type(row[1]).__name__} {row[1]}" for row in KAFKA],
)
def test_what_kafka_says(way: Callable[[Exception], SesacctlError], error: Exception, holds: str, lacks: str) -> None:
    fits(way(error), holds, lacks)


def fits(error: SesacctlError, holds: str, lacks: str) -> None:
    """That the hint advises something that can help, and nothing that cannot."""
    hint = error.hint or ""
    assert re.search(holds, hint, re.IGNORECASE | re.DOTALL), f"{error}\nnext: {hint}"
    assert not re.search(lacks, hint), f"{error}\nnext: {hint}"
    assert faults(hint) == []


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_default_of_an_error_class_is_a_command_that_exists(kind: type[SesacctlError]) -> None:
    assert faults(kind.default_hint or "") == []
    if kind.retriable:
        assert not re.search(f"{SCHEMA}|{LOGIN}", kind.default_hint or ""), "loops wait for it"


@pytest.mark.parametrize(("where", "hint"), WRITTEN, ids=[where for where, _ in WRITTEN])
def test_hints_name_existing_commands_and_settings(where: str, hint: str) -> None:
    assert faults(hint) == [], where


def test_hints_of_all_main_modules_are_checked() -> None:
    places = {where.partition(":")[0] for where, _ in WRITTEN}
    assert len(WRITTEN) > 90
    assert {
        "errors.py",
        "database/refusals.py",
        "broker/kafka_python/connection_errors.py",
        "cache/refusals.py",
        "cli/dlq.py",
    } <= places


def test_every_error_of_a_command_says_what_to_run_next() -> None:
    library = ("database/crud.py", "database/row_values.py")  # of arguments that a program gave
    assert [where for where in without_advice() if not where.startswith(library)] == []


@pytest.mark.parametrize(
    "hint",
    [
        "sesacctl helth",
        "sesacctl db explode, then again",
        "look, then sesacctl db",
        "sesacctl consume with fewer --instance",
        "sesacctl produce --speed 3",
        "run `sesacctl dlq show` for it",
        "sesacctl --verzion",
        "set POSTGRES_USR",
        "check KAFKA_SASL_USERNAME and KAFKA_SASL_PASS",
        "PGSSLMOD=require sesacctl up",
    ],
)
def test_a_wrong_hint_is_noticed(hint: str) -> None:
    assert faults(hint) != []


@pytest.mark.parametrize(
    "hint",
    [
        "another file",
        "upgrade sesacctl, and try again",
        "sesacctl up, or set KAFKA_BOOTSTRAP_SERVERS and KAFKA_SECURITY_PROTOCOL",
        "sesacctl consume with fewer --instances; or raise max_connections",
        "SESAC_HOME=ANOTHER_FOLDER sesacctl up",
        "sesacctl offsets reset --help",
        "make room: sesacctl produce with another --ledger",
        "run `sesacctl dlq show 7`",
    ],
)
def test_a_correct_hint_has_no_faults(hint: str) -> None:
    assert faults(hint) == []
