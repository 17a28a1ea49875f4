"""Why PostgreSQL refused a change of the schema, in the user's words: every class of error has some."""

from __future__ import annotations

import psycopg2
from psycopg2 import errorcodes

from sesacctl.database.location import locate
from sesacctl.database.refusals import to_sesacctl_error
from sesacctl.database.user_code import name_failing
from sesacctl.errors import CheckFailed, SchemaNotAtHead, ServerFull, ServerRefused, SesacctlError, TablesNotOurs
from sesacctl.settings import Settings

_UNCHANGED = "nothing was changed"
_AGAIN = "the same command again"
# SQLSTATEs or classes of them, the error, how it begins, and what to do.
_WORDS: tuple[tuple[tuple[str, ...], type[SesacctlError], str, str | None], ...] = (
    (
        (
            errorcodes.DEPENDENT_OBJECTS_STILL_EXIST,
            errorcodes.FEATURE_NOT_SUPPORTED,
            errorcodes.INVALID_TABLE_DEFINITION,
            errorcodes.INVALID_OBJECT_DEFINITION,
            errorcodes.WRONG_OBJECT_TYPE,
        ),
        CheckFailed,
        "Something that uses the tables is in the way",
        f"drop it, {_AGAIN}, and create it again",
    ),
    (
        (errorcodes.DUPLICATE_TABLE, errorcodes.DUPLICATE_OBJECT, errorcodes.DUPLICATE_COLUMN),
        TablesNotOurs,
        "Something that is not sesacctl's has a name that it needs",
        None,
    ),
    ((errorcodes.INVALID_SCHEMA_NAME,), TablesNotOurs, "There is no schema to work in", "sesacctl db init"),
    (
        (errorcodes.UNDEFINED_TABLE, errorcodes.UNDEFINED_COLUMN, errorcodes.UNDEFINED_OBJECT),
        SchemaNotAtHead,
        "The tables are not those of the database's revision",
        "sesacctl db check",
    ),
    ((errorcodes.QUERY_CANCELED,), CheckFailed, "The change was cancelled", _AGAIN),
    (("22", "23"), CheckFailed, "Existing rows violate the new schema", f"change these rows, then {_AGAIN}"),
)


def refused_change(error: psycopg2.Error, settings: Settings) -> SesacctlError | None:
    """The error in the user's words; None only for one without a SQLSTATE that PostgreSQL has no part in."""
    code = error.pgcode
    if code is None or name_failing(error) is not None:
        return to_sesacctl_error(error, settings)
    text = _text(error)
    return _by_code(code, text, settings) or to_sesacctl_error(error, settings) or _other(code, text)


def _by_code(code: str, text: str, settings: Settings) -> SesacctlError | None:
    if code == errorcodes.INSUFFICIENT_PRIVILEGE:
        return _not_owner(text) if "must be owner" in text else None
    if code == errorcodes.DISK_FULL:
        return ServerFull(
            f"PostgreSQL at {locate(settings).address} has no disk space left, {_UNCHANGED}: {text}",
            hint=f"free disk space for a second copy of the tables, then {_AGAIN}",
        )
    for codes, kind, beginning, hint in _WORDS:
        if code in codes or code[:2] in codes:
            return kind(f"{beginning}, {_UNCHANGED}: {text}", hint=hint)
    return None


def _not_owner(text: str) -> ServerRefused:
    return ServerRefused(
        f"{text}; {_UNCHANGED}", hint=f"run it as the owner, or ALTER … OWNER TO this user; then {_AGAIN}"
    )


def _other(code: str, text: str) -> CheckFailed:
    return CheckFailed(
        f"PostgreSQL refused the change (SQLSTATE {code}), {_UNCHANGED}: {text}", hint="sesacctl db migrate --dry-run"
    )


def _text(error: psycopg2.Error) -> str:
    parts = (error.diag.message_primary or str(error), error.diag.message_detail)
    return " ".join(" ".join(part for part in parts if part).split())
