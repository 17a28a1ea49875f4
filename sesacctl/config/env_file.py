"""The `.env` that `config init` writes: every setting with what it is, and random passwords. Compose reads it too."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sesacctl import files
from sesacctl.errors import ConfigurationError
from sesacctl.settings import Settings, is_secret

# In force; all others are there as comments. No hosts and ports: without them the servers that `up` started are used.
_IN_FORCE = ("db_type", "postgres_user", "postgres_password", "postgres_db", "redis_password")
_PASSWORDS = tuple(name for name in _IN_FORCE if is_secret(Settings.model_fields[name]))
_PASSWORD_BYTES = 24
_PLAIN = re.compile(r"[\w.,:/@%+=~-]*", re.ASCII)
_HEADER = """\
# Settings of sesacctl and of deploy/docker-compose.yml. `sesacctl config init` makes this file with random passwords.
# A variable of the environment takes the place of one in this file, and this file that of the running local stack.
"""
_SECTIONS = {
    "db_": "PostgreSQL",
    "supabase_": "Supabase",
    "rds_": "Amazon RDS",
    "redis_": "Redis or Valkey",
    "kafka_": "Kafka",
    "sesac_": "sesacctl itself",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The file, and the variables that were given a random password."""

    path: str
    passwords: tuple[str, ...]


def template(passwords: Mapping[str, str] | None = None) -> str:
    """The file's text; without passwords it is `.env.example`."""
    lines = [_HEADER.rstrip()]
    for name, field in Settings.model_fields.items():
        for prefix, title in _SECTIONS.items():
            if name.startswith(prefix) and f"# ---- {title}" not in lines:
                lines += ["", f"# ---- {title}"]
        value = (passwords or {}).get(name, "" if is_secret(field) or field.default is None else str(field.default))
        mark = "" if name in _IN_FORCE else "#"
        lines += [f"# {field.description}", f"{mark}{name.upper()}={_quoted(value)}"]
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    """As it is read back, by Compose too: between single quotes neither `$` nor `#` means anything."""
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", r"\\").replace("'", r"\'")
    return f"'{escaped}'"


def write(path: Path) -> Written:
    """Write the file with new random passwords, for this user only; what was there is replaced as a whole.

    Raises:
        ConfigurationError: it cannot be written.
    """
    text = template({name: secrets.token_urlsafe(_PASSWORD_BYTES) for name in _PASSWORDS})
    try:
        with files.replacing(path, mode=0o600) as file:
            file.write(text)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}", hint="ls -la") from None
    return Written(path=str(path.absolute()), passwords=tuple(name.upper() for name in _PASSWORDS))
