"""Faults of the data itself that lose nothing: what is set back is read from Kafka again."""

from __future__ import annotations

import io
from contextlib import closing, suppress

import psycopg2

from tests.faults import evidence
from tests.faults.fault import Fault, Kind
from tests.faults.site import ORDERS

TABLES = (
    *("users", "products", "orders", "sink_offsets", "dead_letters", "parked_events", "log_cuts", "row_changes"),
    "forgotten_users",
)


class OlderDump(Fault):
    """All tables are restored from a dump some seconds later, in one transaction beside running consumers.

    A server that is away meanwhile is somebody else's fault.
    """

    target = "all tables"

    def inject(self) -> None:
        """Take the dump."""
        self._dump: dict[str, io.StringIO] = {}
        with suppress(psycopg2.Error), closing(self.site.connect()) as connection:
            connection.autocommit = False
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            with connection, connection.cursor() as cursor:
                taken = {table: io.StringIO() for table in TABLES}
                for table, file in taken.items():
                    cursor.copy_expert(f"COPY {table} ({_columns(cursor, table)}) TO STDOUT", file)
            self._dump = taken

    def heal(self) -> None:
        """Restore it."""
        if not self._dump:
            return
        with suppress(psycopg2.Error), closing(self.site.connect()) as connection:
            connection.autocommit = False
            with connection, connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '30s'; SET LOCAL session_replication_role = replica")
                cursor.execute(f"LOCK TABLE {', '.join(TABLES)} IN ACCESS EXCLUSIVE MODE")
                cursor.execute(f"TRUNCATE {', '.join(TABLES)}")
                for table, file in self._dump.items():
                    file.seek(0)
                    cursor.copy_expert(f"COPY {table} ({_columns(cursor, table)}) FROM STDIN", file)
            self.site.was_set_back = True


class Migrated(Fault):
    """The schema goes back by one revision, and forward again, beside running commands."""

    target = "schema"

    def inject(self) -> None:
        """Back: the loop may end now, and begin when the schema is there again."""
        for child in self.site.children.values():
            child.may_end = True
        self.site.command("db", "downgrade", "-1", "--yes")

    def heal(self) -> None:
        """And forward."""
        self.site.must("db", "migrate")
        for child in self.site.children.values():
            child.recover()


class Retention(Fault):
    """Records that are stored expire; the oracle keeps what it can no longer read."""

    target = "orders"

    def inject(self) -> None:
        """Delete up to a half of what is stored of each partition."""
        evidence.expire(self.site, ORDERS, share=self.dice.choice((0.1, 0.5)))


def _columns(cursor: psycopg2.extensions.cursor, table: str) -> str:
    """Those that are not computed."""
    cursor.execute(
        "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute"
        " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
        (table,),
    )
    [(columns,)] = cursor.fetchall()
    return str(columns)


KINDS = (
    Kind(name="postgres.older-dump", make=OlderDump, holds=(2.0, 8.0), from_heal=True),
    Kind(name="postgres.migrated", make=Migrated, holds=(0.0, 3.0), own_stack=True, from_heal=True, alone=True),
    Kind(name="topic.retention", make=Retention, own_stack=True, alone=True),
)
