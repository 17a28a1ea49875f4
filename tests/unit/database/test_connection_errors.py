"""What libpq and PostgreSQL say when no connection comes about, or one ends: which texts are waited out."""

from __future__ import annotations

import psycopg2
import pytest

from sesacctl.database.connections import to_sesacctl_error
from sesacctl.errors import CheckFailed, SchemaNotAtHead, ServerRefused, ServerUnreachable, SesacctlError
from sesacctl.settings import DbType, load

AT = 'connection to server at "db.example.com" (10.0.0.7), port 5432 failed: '
SUPABASE_URL = "postgresql://postgres:x@db.abcd.supabase.co:5432/postgres"
KINDS = {
    DbType.LOCAL: {},
    DbType.RDS: {"rds_user": "u", "rds_password": "p", "rds_host": "db.example.com", "rds_db": "d"},
    DbType.SUPABASE: {"supabase_direct_url": SUPABASE_URL},
}
ALL = pytest.mark.parametrize("kind", list(KINDS))

# PostgreSQL 15 to 18: fe-secure-openssl.c, fe-secure.c, fe-connect.c, fe-protocol3.c; OpenSSL's after "SSL error:".
LOST = [
    "SSL connection has been closed unexpectedly",
    "SSL SYSCALL error: EOF detected",
    "SSL SYSCALL error: Connection reset by peer",
    "SSL SYSCALL error: Connection timed out",
    "SSL SYSCALL error: Broken pipe",
    "SSL SYSCALL error: Success",
    "SSL error: unexpected eof while reading",
    "SSL error: decryption failed or bad record mac",
    "SSL error: sslv3 alert bad record mac",
    "SSL error: tlsv1 alert internal error",
    "SSL error: tlsv1 alert user cancelled",
    "SSL error: shutdown while in init",
    "SSL error: record layer failure",
    "SSL error: bad length",
    "SSL error code 1",
    "unrecognized SSL error code: 6",
    "SSL_read failed but did not provide error information",
    "SSL_write failed but did not provide error information",
    AT + "SSL SYSCALL error: EOF detected",
    AT + "could not send SSL negotiation packet: Broken pipe",
    AT + "could not establish SSL connection: unexpected eof while reading",
    AT + "server sent an error response during SSL exchange",
    AT + "received invalid response to SSL negotiation: H",
    AT + "SSL SYSCALL error: EOF detected\n" + AT + "expected authentication request from server, but received S",
    AT + "server closed the connection unexpectedly\n\tThis probably means the server terminated abnormally\n",
    AT + "Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?",
    AT + "timeout expired",
    "could not receive data from server: Connection timed out",
    "could not send data to server: Connection reset by peer",
    "server closed the connection unexpectedly",
    'lost synchronization with server: got message type "5", length 808464432',
    'could not translate host name "certificate.example.com" to address: Temporary failure in name resolution',
    "terminating connection due to administrator command\nSSL connection has been closed unexpectedly",
]
REFUSED = [
    "SSL error: certificate verify failed",
    "SSL error: certificate verify failed: unable to get local issuer certificate",
    'server certificate for "a.example.com" does not match host name "b.example.com"',
    'server certificate for "a" (and 1 other name) does not match host name "b"',
    "could not get server's host name from server certificate",
    "SSL certificate's name contains embedded null",
    "certificate could not be obtained: unknown",
    'root certificate file "/ca.pem" does not exist\nEither provide the file, use the system\'s trusted roots',
    'could not read root certificate file "/ca.pem": no certificate or crl found',
    "could not get home directory to locate root certificate file",
    "could not load system root certificate paths: No such file or directory",
    'weak sslmode "require" may not be used with sslrootcert=system (use "verify-full")',
    "host name must be specified for a verified SSL connection",
    'could not read certificate file "/c.pem": no start line',
    'certificate present, but not private key file "/k.pem"',
    'private key file "/k.pem" has group or world access; file must have permissions u=rw (0600) or less',
    'could not load private key file "/k.pem": bad decrypt',
    'certificate does not match private key file "/k.pem": key values mismatch',
    "server does not support SSL, but SSL was required",
    "SSL error: wrong version number",
    "SSL error: unsupported protocol\nThis may indicate that the server does not support any SSL protocol version"
    " between TLSv1.2 and TLSv1.3.",
    "SSL error: tlsv1 alert protocol version",
    "SSL error: no protocols available",
    "SSL error: sslv3 alert handshake failure",
    "SSL error: ssl/tls alert handshake failure",
    "SSL error: no shared cipher",
    "SSL error: no ciphers available",
    "SSL error: tlsv1 alert insufficient security",
    "SSL error: dh key too small",
    "SSL error: ca md too weak",
    "SSL error: unsafe legacy renegotiation disabled",
    "SSL error: tlsv1 alert unknown ca",
    "SSL error: sslv3 alert certificate expired",
    "SSL error: tlsv13 alert certificate required",
    "SSL error: tlsv1 unrecognized name",
    "SSL connection was established with unexpected ALPN protocol",
    "could not set minimum SSL protocol version: no protocols available",
    "channel binding required, but SSL not in use",
    "FATAL:  connection requires a valid client certificate",
    "FATAL:  SSL connection is required",
    "FATAL:  SSL required",
]


def told(text: str, kind: DbType, error: type[psycopg2.Error] = psycopg2.OperationalError) -> SesacctlError:
    ours = to_sesacctl_error(error(text), load(db_type=kind, **KINDS[kind]))
    assert ours is not None
    return ours


@ALL
@pytest.mark.parametrize("text", LOST)
def test_a_connection_that_was_lost_is_waited_for(kind: DbType, text: str) -> None:
    ours = told(text, kind)
    assert type(ours) is ServerUnreachable
    assert ours.retriable


@ALL
@pytest.mark.parametrize("text", REFUSED)
def test_a_permanent_error_is_refused_with_its_setting_named(kind: DbType, text: str) -> None:
    ours = told(AT + text, kind)
    assert type(ours) is ServerRefused
    assert not ours.retriable
    wanted = {DbType.LOCAL: "PGSSLROOTCERT", DbType.RDS: "RDS_SSLROOTCERT", DbType.SUPABASE: "SUPABASE_DIRECT_URL"}
    assert wanted[kind] in str(ours.hint)


def test_a_sentence_of_two_attempts_is_said_once() -> None:
    sentence = 'password authentication failed for user "shop"'
    refused = told(f"{AT}FATAL:  {sentence}\n{AT}FATAL:  {sentence}\n", DbType.LOCAL)
    assert type(refused) is ServerRefused
    assert str(refused).count(sentence) == 1
    away = told(f"{AT}Connection refused\n\tIs the server running on that host?\n{AT}timeout expired", DbType.LOCAL)
    assert str(away).endswith("cannot be reached: Connection refused; timeout expired")


@pytest.mark.parametrize("error", [psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.DatabaseError])
def test_a_lost_connection_of_any_class_is_one(error: type[psycopg2.Error]) -> None:
    assert told("SSL SYSCALL error: EOF detected", DbType.RDS, error).retriable


def test_a_complaint_about_how_psycopg2_is_used_is_a_bug() -> None:
    assert to_sesacctl_error(psycopg2.ProgrammingError("can't adapt type 'set'"), load()) is None


FULL = [
    "FATAL:  remaining connection slots are reserved for roles with the SUPERUSER attribute",
    "FATAL:  remaining connection slots are reserved for non-replication superuser connections",
    'FATAL:  remaining connection slots are reserved for roles with privileges of "pg_use_reserved_connections"',
    "FATAL:  sorry, too many clients already",
    'FATAL:  too many connections for role "worker"',
    'FATAL:  too many connections for database "sesac_db"',
    "FATAL:  MaxClientsInSessionMode: max clients reached - in Session mode max clients are limited to pool_size",
    "FATAL:  Max client connections reached",
    "FATAL:  no more connections allowed (max_client_conn)",
]


@ALL
@pytest.mark.parametrize("text", FULL)
def test_exhausted_connections_are_retried_with_advice(kind: DbType, text: str) -> None:
    ours = told(AT + text, kind)
    assert type(ours) is ServerUnreachable
    assert ours.retriable
    assert "has no connection left" in str(ours)
    assert "--instances" in str(ours.hint)
    assert "pool" in str(ours.hint)
    assert "sesacctl up" not in str(ours.hint)


@pytest.mark.parametrize(
    "text",
    [
        AT + "Network is unreachable",
        AT + "No route to host",
        AT + "Cannot assign requested address",
        'could not translate host name "db.abcd.supabase.co" to address: No address associated with hostname',
        'could not translate host name "db.abcd.supabase.co" to address: Name or service not known',
    ],
)
def test_an_ipv6_only_host_names_the_session_pooler(text: str) -> None:
    ours = told(text, DbType.SUPABASE)
    assert ours.retriable
    assert "IPv6" in str(ours.hint)
    assert "postgres.abcd:[YOUR-PASSWORD]@HOST.pooler.supabase.com:5432" in str(ours.hint)
    assert "pooler" not in str(told(text, DbType.RDS).hint)


def test_an_unreachable_pooler_is_not_advised_to_be_used() -> None:
    url = "postgresql://postgres.abcd:x@aws-0-eu-west-1.pooler.supabase.com:5432/postgres"
    ours = to_sesacctl_error(
        psycopg2.OperationalError(AT + "Network is unreachable"),
        load(db_type=DbType.SUPABASE, supabase_direct_url=url),
    )
    assert ours is not None
    assert ours.hint == "set SUPABASE_DIRECT_URL"


@ALL
@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("42501", "permission denied for schema public"),
        ("42501", "permission denied for table users"),
        ("42501", "must be owner of table orders"),
        ("42501", "permission denied to create extension"),
        (None, AT + 'FATAL:  permission denied for database "d"\nDETAIL:  User does not have CONNECT privilege.'),
    ],
)
def test_missing_rights_are_granted_and_no_password_is_asked_for(kind: DbType, code: str | None, text: str) -> None:
    error = psycopg2.OperationalError(text)
    if code:
        error.__setstate__({"pgcode": code})
    ours = to_sesacctl_error(error, load(db_type=kind, **KINDS[kind]))
    assert type(ours) is ServerRefused
    assert not ours.retriable
    assert "GRANT" in str(ours.hint)
    assert "deploy/sql/roles.sql" in str(ours.hint)
    assert "_USER" not in str(ours.hint)


@ALL
@pytest.mark.parametrize(
    ("code", "kind_of_error", "hint"),
    [
        ("53300", ServerUnreachable, "--instances"),
        ("57P01", ServerUnreachable, "set "),
        ("28P01", ServerRefused, "PASSWORD"),
        ("42P01", SchemaNotAtHead, "db migrate"),
        ("40P01", CheckFailed, "again"),
    ],
)
def test_a_code_has_a_class_and_a_hint(kind: DbType, code: str, kind_of_error: type[SesacctlError], hint: str) -> None:
    error = psycopg2.DatabaseError("told by the server")
    error.__setstate__({"pgcode": code})
    ours = to_sesacctl_error(error, load(db_type=kind, **KINDS[kind]))
    assert type(ours) is kind_of_error
    assert hint in str(ours.hint)
