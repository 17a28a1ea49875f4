"""What PostgreSQL says when it refuses a change of the schema: no class of errors is without words."""

from __future__ import annotations

import psycopg2
import pytest
from psycopg2 import errorcodes

from sesacctl.database.schema.ddl_errors import refused_change
from sesacctl.errors import (
    CheckFailed,
    SchemaNotAtHead,
    ServerFull,
    ServerRefused,
    ServerUnreachable,
    SesacctlError,
    TablesNotOurs,
)
from sesacctl.settings import load

CODES = sorted({code for name, code in vars(errorcodes).items() if name.isupper() and len(code) == 5})


def words(code: str, text: str = "so it is") -> SesacctlError:
    error = psycopg2.DatabaseError(text)
    error.__setstate__({"pgcode": code})
    found = refused_change(error, load())
    assert found is not None
    return found


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_words_and_a_hint(code: str) -> None:
    assert len(CODES) > 200
    found = words(code)
    assert found.exit_code in (4, 5, 6)
    assert "so it is" in str(found)
    assert found.hint


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        ("2BP01", CheckFailed, "drop it"),
        ("0A000", CheckFailed, "drop it"),
        ("42P16", CheckFailed, "drop it"),
        ("42P17", CheckFailed, "drop it"),
        ("42P07", TablesNotOurs, "POSTGRES_SCHEMA"),
        ("42710", TablesNotOurs, "POSTGRES_SCHEMA"),
        ("3F000", TablesNotOurs, "sesacctl db init"),
        ("42P01", SchemaNotAtHead, "sesacctl db check"),
        ("42501", ServerRefused, "GRANT"),
        ("55P03", CheckFailed, "again"),
        ("57014", CheckFailed, "again"),
        ("53100", ServerFull, "free disk space"),
        ("53300", ServerUnreachable, "pool"),
        ("40P01", CheckFailed, "again"),
        ("40001", CheckFailed, "again"),
        ("22008", CheckFailed, "row"),
        ("23502", CheckFailed, "row"),
        ("57P01", ServerUnreachable, "sesacctl up"),
        ("XX000", CheckFailed, "--dry-run"),
    ],
)
def test_the_hint_is_what_helps(code: str, kind: type[SesacctlError], hint: str) -> None:
    found = words(code)
    assert type(found) is kind
    assert hint in str(found.hint)


def test_an_owner_is_not_granted() -> None:
    found = words("42501", "must be owner of table users")
    assert type(found) is ServerRefused
    assert "OWNER TO" in str(found.hint)
