"""What a PostgreSQL error means for the sink, by SQLSTATE (PostgreSQL documentation, appendix A)."""

from __future__ import annotations

from enum import StrEnum

from psycopg2 import DataError, IntegrityError, NotSupportedError, ProgrammingError, errorcodes
from psycopg2 import Error as PostgresError

from sesacctl.database.deadline import NoAnswer
from sesacctl.database.row_security import is_refused_row
from sesacctl.database.user_code import failed_within_statement, failing_function


class Failure(StrEnum):
    """The classes of failure, by what the sink does about them."""

    DATA = "data"  # the row can never be stored: dead letter
    PARK = "park"  # its user or product is not there yet: try again later
    DUPLICATE = "duplicate"  # the same row is there already: counted
    CONFLICT = "conflict"  # the id is taken: check whether by the same row
    CODE = "code"  # a function of the user's own: the row's fault only if most others pass
    INFRA = "infra"  # the server, not the row: the whole step again
    STOP = "stop"  # only a person can fix it


_NEVER_FITS = (
    errorcodes.NOT_NULL_VIOLATION,
    errorcodes.CHECK_VIOLATION,
    errorcodes.EXCLUSION_VIOLATION,
    errorcodes.WITH_CHECK_OPTION_VIOLATION,
    errorcodes.DATATYPE_MISMATCH,
    errorcodes.PROGRAM_LIMIT_EXCEEDED,  # an index entry that is too large
)
_BY_CODE = dict.fromkeys(_NEVER_FITS, Failure.DATA) | {
    errorcodes.FOREIGN_KEY_VIOLATION: Failure.PARK,
    errorcodes.UNIQUE_VIOLATION: Failure.CONFLICT,
    errorcodes.INTERNAL_ERROR: Failure.CODE,
}
# A bad value; RAISE and its kin; functions in other languages.
_DATA_CLASSES = {"22", "P0", "38", "39"}
_INFRA_CLASSES = {"08", "57", "53", "25", "40", "55"}

# Without a code these are psycopg2's own complaints about how it is used; the others are a lost connection.
_BUGS = (DataError, IntegrityError, NotSupportedError, ProgrammingError)


RETRY_CLASSES = (
    *("connection", "no_answer", "deadlock", "serialization", "lock", "resources", "shutdown", "read_only"),
    *("timeout", "other"),
)
_RETRY_BY_CODE = {
    errorcodes.DEADLOCK_DETECTED: "deadlock",
    errorcodes.LOCK_NOT_AVAILABLE: "lock",
    errorcodes.QUERY_CANCELED: "timeout",
}
_RETRY_BY_CLASS = {"08": "connection", "25": "read_only", "40": "serialization", "53": "resources", "57": "shutdown"}


def classify(error: PostgresError, table: str | None = None) -> Failure:
    """The class of an error; `table`: that which was written."""
    code = error.pgcode
    if code is None:
        return Failure.STOP if isinstance(error, _BUGS) else Failure.INFRA
    if code[:2] in _INFRA_CLASSES:
        return Failure.CODE if _is_state_of_user_code(error, code) else Failure.INFRA
    if code[:2] == "28" or code == errorcodes.INSUFFICIENT_PRIVILEGE:
        return Failure.CODE if is_refused_row(error) else Failure.STOP  # a policy is the user's own, too
    if _is_about_something_else(error, code, table):
        return Failure.CODE
    if code[:2] in _DATA_CLASSES:
        return Failure.DATA
    return _BY_CODE.get(code) or (Failure.CODE if failing_function(error) else Failure.STOP)


def retry_class(error: PostgresError) -> str:
    """The kind of an error of class INFRA, for a counter of retries."""
    if isinstance(error, NoAnswer):
        return "no_answer"
    code = error.pgcode or ""
    return _RETRY_BY_CODE.get(code) or _RETRY_BY_CLASS.get(code[:2], "other" if code else "connection")


def _is_state_of_user_code(error: PostgresError, code: str) -> bool:
    """Whether a function met a state that it needs to be another, such as a view that was never filled."""
    return code[:2] in ("25", "55") and code != errorcodes.LOCK_NOT_AVAILABLE and failing_function(error) is not None


def _is_about_something_else(error: PostgresError, code: str, table: str | None) -> bool:
    """Whether a trigger failed on what it writes itself, and not on the row that was written to `table`."""
    if code[:2] == "22":
        return failed_within_statement(error)
    other = error.diag.table_name not in (None, table)
    return code[:2] == "23" and table is not None and other and failing_function(error) is not None
