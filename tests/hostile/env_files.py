"""`.env` files as they happen, and settings with absurd values."""

from __future__ import annotations

from collections.abc import Iterator

from sesacctl.settings import Settings
from tests.helpers.servers import NOWHERE
from tests.hostile.lines import Line, shortened

CORPUS: dict[str, bytes] = {
    "nothing": b"",
    "byte order mark": b"\xef\xbb\xbfREDIS_DB=3\n",
    "CRLF": b"REDIS_DB=3\r\nKAFKA_GROUP=g\r\n",
    "CR": b"REDIS_DB=3\rKAFKA_GROUP=g\r",
    "NUL in a value": b"POSTGRES_DB=a\0b\n",
    "NUL in a name": b"POST\0GRES_DB=a\n",
    "NUL in the home": b"SESAC_HOME=a\0b\n",
    "NUL in a zone": b"SESAC_EVENT_TIMEZONE=a\0b\n",
    "NUL in a file": b"KAFKA_SECURITY_PROTOCOL=SSL\nKAFKA_SSL_CAFILE=a\0b\n",
    "not UTF-8": b"POSTGRES_DB=\xb0\xa1\n",
    "a surrogate": b"POSTGRES_DB=\xed\xb3\xbf\n",
    "UTF-16": "REDIS_DB=3\n".encode("utf-16"),
    "open quote": b'POSTGRES_DB="x\nREDIS_DB=3\n',
    "export": b"export REDIS_DB=3\n",
    "twice": b"REDIS_DB=x\nREDIS_DB=3\n",
    "a huge line": b"POSTGRES_PASSWORD=" + b"x" * 3_000_000 + b"\n",
    "binary": bytes(range(256)) * 64,
    "a value of two lines": b'POSTGRES_DB="a\nb"\nKAFKA_GROUP="a\\nb"\nPOSTGRES_HOST="a\nb"\nREDIS_HOST="a\nb"\n',
    "no value": b"REDIS_DB\nKAFKA_GROUP=\n=x\n",
    "blanks": b" REDIS_DB = 3 # number\n\t\n",
    "a reference to itself": b"POSTGRES_DB=${POSTGRES_DB}\n",
    "JSON": b'{"REDIS_DB": 3}\n',
    "YAML": b"REDIS_DB: 3\n- x\n",
    "a shell script": b'#!/bin/sh\nif true; then\nexport REDIS_DB="$(id -u)"\nfi\n',
    "a home of nobody": b"SESAC_HOME=~nobody-of-that-name/x\n",
    "a home below a file": b"SESAC_HOME=/dev/null/x\n",
    "a long home": b"SESAC_HOME=" + b"a" * 5_000 + b"\n",
}
# Each with what makes the setting count, and the command that needs it.
_NEEDS: dict[str, tuple[dict[str, str], str]] = {
    "db_type": ({}, "db check"),
    "postgres_": ({}, "db check"),
    "supabase_": (
        {"DB_TYPE": "supabase", "SUPABASE_DIRECT_URL": "postgresql://u:p@127.0.0.1:1/db?connect_timeout=2"},
        "db check",
    ),
    "rds_": (
        {
            "DB_TYPE": "rds",
            "RDS_USER": "u",
            "RDS_PASSWORD": "p",
            "RDS_HOST": "127.0.0.1",
            "RDS_PORT": "1",
            "RDS_DB": "d",
        },
        "db check",
    ),
    "redis_": ({}, "cache stats"),
    "kafka_ssl": ({"KAFKA_SECURITY_PROTOCOL": "SSL"}, "topics describe"),
    "kafka_oauth": (
        {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_MECHANISM": "OAUTHBEARER"},
        "topics describe",
    ),
    "kafka_sasl": (
        {
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_MECHANISM": "PLAIN",
            "KAFKA_SASL_USERNAME": "u",
            "KAFKA_SASL_PASSWORD": "p",
        },
        "topics describe",
    ),
    "kafka_": ({}, "topics describe"),
    "sesac_": ({}, "health --live"),
}
_VALUES = (
    *("-1", "0", "65536", f"1{'0' * 30}", "nan", "1e400", " ", "\t", "\x07\x1b[31m", "\udcff", "🦀" * 9, "\u202ex"),
    *("x" * 100_000, "/", "/dev/null", "/dev/zero", "~nobody-of-that-name/x", "a\nb", "'", '"', "\\", "%", "$HOME"),
    *("[::1", "[YOUR-PASSWORD]", "h:1", "http://h", "redis://h:x/0", "redis://[::1/0", "redis://h:1/99999999999999"),
    *("redis://127.0.0.1:1/0?db=x", "redis://127.0.0.1:1/0?no_such=1", "redis://127.0.0.1:1/0?protocol=9", "unix://"),
    *("redis://127.0.0.1:1/0?ssl_cert_reqs=x", "rediss://127.0.0.1:1/0?ssl_ca_certs=/", "redis://\u202e:1/0"),
    *("postgresql://u:p@h:x/db", "postgresql://u:p@127.0.0.1:99999/db", "postgresql://[::1/db", "postgresql://"),
    *("postgresql://u:p@127.0.0.1:1/db?sslrootcert=/dev/zero", "postgresql://u:p@127.0.0.1:1/db?options=-c%20x"),
    *("127.0.0.1:99999", "127.0.0.1:0", ":1", "h:1,,h:1", "*:1", "a..b:1", f"{'a' * 70}:1", "127.0.0.1:1," * 500),
    *("os:system", "os:path", "no_such_module:x", "sesacctl.errors:nothing", "msk", "os:getcwd", "SSL", "ssl", "UTC"),
    *("../../etc/passwd", "America", "earliest", "orders", "..", "public", "pg_catalog", "SUPABASE", "INFO", "json"),
)


def with_settings() -> Iterator[Line]:
    """Each setting with each absurd value: `config check`, and the command that would use it."""
    for name in Settings.model_fields:
        companions, command = next(found for prefix, found in _NEEDS.items() if name.startswith(prefix))
        for value in _VALUES:
            environment = {**NOWHERE, **companions, name.upper(): value}
            for line in ("config check", command):
                yield Line(line, tuple(line.split()), f"{name.upper()}={shortened(value)}", environment=environment)


def with_files() -> Iterator[Line]:
    """Each file of the corpus with commands that read it, each in its own way."""
    for name, content in CORPUS.items():
        for command in ("config check", "config show", "config init --yes", "health --live", "stack env", "lag"):
            own: dict[str, str | None] = {"SESAC_HOME": None} if "home" in name else {}
            yield Line(command, tuple(command.split()), f".env: {name}", environment=own, files={".env": content})
