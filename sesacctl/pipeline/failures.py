"""What a PostgreSQL error means for the sink, by SQLSTATE (PostgreSQL documentation, appendix A)."""

from __future__ import annotations

from enum import StrEnum

from psycopg2 import DataError, IntegrityError, NotSupportedError, ProgrammingError
from psycopg2 import Error as PostgresError


class Failure(StrEnum):
    """The classes of failure, by what the sink does about them."""

    DATA = "data"  # the row can never be stored: dead letter
    PARK = "park"  # its user or product is not there yet: try again later
    DUPLICATE = "duplicate"  # the same row is there already: counted
    CONFLICT = "conflict"  # the id is taken: look whether by the same row
    INFRA = "infra"  # the server, not the row: the whole step again
    STOP = "stop"  # only a person can mend it


_DATA = {"23502", "23514", "42804"}
_INFRA_CLASSES = {"08", "57", "53", "25", "40", "55"}


# Without a code these are psycopg2's own complaints about how it is used; the others are a lost connection.
_BUGS = (DataError, IntegrityError, NotSupportedError, ProgrammingError)


def classify(error: PostgresError) -> Failure:
    """The class of an error."""
    code = error.pgcode
    if code is None:
        return Failure.STOP if isinstance(error, _BUGS) else Failure.INFRA
    if code[:2] in _INFRA_CLASSES:
        return Failure.INFRA
    if code[:2] == "22" or code in _DATA:
        return Failure.DATA
    if code == "23503":
        return Failure.PARK
    if code == "23505":
        return Failure.CONFLICT
    return Failure.STOP
