"""Rows in the tables against the rows that must be there: those that the sink stored, and lawful changes since."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg2 import extensions

from sesacctl.database import row_security
from sesacctl.database.connections import transaction
from sesacctl.database.cursors import fetch_row
from sesacctl.events import CODECS, Kind
from sesacctl.pipeline.audit import removals
from sesacctl.pipeline.audit.removals import Removals
from sesacctl.pipeline.sink import forgotten, offsets
from sesacctl.settings import Settings

_READ = ("row_changes", *CODECS, "dead_letters", forgotten.TABLE)
_BOUND = 600  # counting takes as long as the tables are large


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCounts:
    """Of one table. `duplicated` are rows whose id is there already.

    `expected` are the rows that all groups stored, by the counters, and what `row_changes` has. So
    rows = expected + what came from elsewhere − what is gone: only the difference of these two can be known.
    """

    rows: int
    duplicated: int
    expected: int

    @property
    def gone(self) -> int:
        """At least so many rows that were stored are gone; as many more as came from elsewhere may be."""
        return max(0, self.expected - self.rows)

    @property
    def elsewhere(self) -> int:
        """At least so many rows came from elsewhere: neither from the sink nor from `db seed`."""
        return max(0, self.rows - self.expected)


def count_rows(settings: Settings) -> tuple[dict[str, RowCounts], Removals]:
    """For each table, in one snapshot, and what was removed lawfully; writers are not held up.

    Raises:
        ServerUnreachable: PostgreSQL cannot be reached.
        ServerRefused: PostgreSQL refused: wrong credentials or a missing right.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    with transaction(settings, command="audit", bound=_BOUND) as cursor:
        cursor.connection.set_session(isolation_level=extensions.ISOLATION_LEVEL_REPEATABLE_READ, readonly=True)
        # Before the snapshot: TRUNCATE and a restore between two looks would make rows seem gone.
        cursor.execute(f"LOCK TABLE {offsets.TABLE}, {', '.join(_READ)} IN ACCESS SHARE MODE")
        return {kind: select_row_counts(cursor, settings, kind) for kind in CODECS}, removals.read(cursor)


def select_row_counts(cursor: extensions.cursor, settings: Settings, kind: Kind) -> RowCounts:
    """The same of one table, in the caller's transaction, by one statement and so in one snapshot."""
    row_security.require_visible(cursor)
    cursor.execute(
        f"SELECT count(*), count(*) - count(DISTINCT {CODECS[kind].id_column}),"
        f" {offsets.STORED_IN_TOPIC}"
        " + (SELECT coalesce(sum(change), 0) FROM row_changes WHERE table_name = %s)::bigint"
        f" FROM {kind}",
        (settings.topic(kind), kind),
    )
    rows, duplicated, expected = fetch_row(cursor)
    return RowCounts(rows=rows, duplicated=duplicated, expected=expected)
