"""What tells one log from another, verdicts on cut logs, and rows that came or went lawfully"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

KEPT = ("dead_letters", "parked_events")
MARKS = ("leader_epoch", "epoch_offset", "last_offset", "last_timestamp", "last_crc")
DROPPED_BY_DOWNGRADE: dict[str, tuple[str, ...]] = {
    "row_changes": (),
    "log_cuts": (),
    "dead_letters": ("counted", "fingerprint"),
    "parked_events": ("counted", "fingerprint"),
    "sink_offsets": MARKS,
}
# Of key, value and headers; NULL and empty differ. Headers are JSON of base64, in which there is no backslash.
FINGERPRINT = (
    "sha256(coalesce('\\x01'::bytea || sha256(key), '\\x00'::bytea)"
    " || coalesce('\\x01'::bytea || sha256(value), '\\x00'::bytea)"
    " || (headers::text)::bytea)"
)
POSITION = ["consumer_group", "topic_id", "partition", "offset"]
# A consumer that knows nothing of leader epochs moves next_offset alone: its steps fail, and say this name.
GUARD = "ck_sink_offsets_written_by_an_older_sesacctl"


def _partition() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("consumer_group", sa.String(255), nullable=False),
        sa.Column("topic", sa.String(249), nullable=False),
        sa.Column("topic_id", sa.Uuid, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
    )


def _now(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def upgrade() -> None:
    op.add_column("sink_offsets", sa.Column("leader_epoch", sa.Integer))
    op.add_column("sink_offsets", sa.Column("epoch_offset", sa.BigInteger))
    for name in ("last_offset", "last_timestamp", "last_crc"):
        op.add_column("sink_offsets", sa.Column(name, sa.BigInteger))
    op.execute("UPDATE sink_offsets SET epoch_offset = next_offset")
    op.create_check_constraint(op.f(GUARD), "sink_offsets", "epoch_offset IS NOT DISTINCT FROM next_offset")
    for table in KEPT:
        op.add_column(table, sa.Column("fingerprint", sa.LargeBinary, sa.Computed(FINGERPRINT, persisted=True)))
        op.alter_column(table, "fingerprint", nullable=False)
        op.add_column(table, sa.Column("counted", sa.Boolean, server_default=sa.text("true"), nullable=False))
        op.execute(  # what was kept before the offsets were moved by hand, which has set the counters to zero
            f"UPDATE {table} AS kept SET counted = false FROM sink_offsets AS o"
            " WHERE o.consumer_group = kept.consumer_group AND o.topic_id = kept.topic_id"
            ' AND o.partition = kept.partition AND (kept."offset" < o.first_offset OR kept."offset" >= o.next_offset)'
        )
        op.drop_constraint(f"uq_{table}_position", table)
        op.create_unique_constraint(f"uq_{table}_record", table, [*POSITION, "fingerprint"])
    op.create_table(
        "log_cuts",
        *_partition(),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.Column("diverged_at", sa.BigInteger),
        sa.Column("detail", sa.String, nullable=False),
        _now("found_at"),
        sa.Column("accepted_at", sa.DateTime(timezone=True)),
    )
    open_cut = ["consumer_group", "topic_id", "partition"]
    op.create_index("uq_log_cuts_open", "log_cuts", open_cut, unique=True, postgresql_where="accepted_at IS NULL")
    op.create_table(
        "row_changes",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("table_name", sa.String(63), nullable=False),
        sa.Column("change", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String(50), nullable=False),
        _now("at"),
    )


def downgrade() -> None:
    op.drop_table("row_changes")
    op.drop_table("log_cuts")
    for table in KEPT:
        op.drop_constraint(f"uq_{table}_record", table)
        op.create_unique_constraint(f"uq_{table}_position", table, POSITION)
        op.drop_column(table, "counted")
        op.drop_column(table, "fingerprint")
    op.drop_constraint(op.f(GUARD), "sink_offsets")
    for name in MARKS:
        op.drop_column("sink_offsets", name)
