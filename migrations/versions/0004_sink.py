"""Offsets, dead letters and parked events of the consumers"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

DROPPED_BY_DOWNGRADE: dict[str, tuple[str, ...]] = {"parked_events": (), "dead_letters": (), "sink_offsets": ()}

COUNTERS = ("stored", "duplicates", "dead", "parked", "expired", "control")


def _time(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _raw_record() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("consumer_group", sa.String(255), nullable=False),
        sa.Column("topic", sa.String(249), nullable=False),
        sa.Column("topic_id", sa.Uuid, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("key", sa.LargeBinary),
        sa.Column("value", sa.LargeBinary),
        sa.Column("headers", JSONB, server_default=sa.text("'[]'"), nullable=False),
        sa.Column("record_time", sa.DateTime(timezone=True)),
    )


def _one_per_position(table: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint("consumer_group", "topic_id", "partition", "offset", name=f"uq_{table}_position")


def upgrade() -> None:
    op.create_table(
        "sink_offsets",
        sa.Column("consumer_group", sa.String(255), primary_key=True),
        sa.Column("topic", sa.String(249), nullable=False),
        sa.Column("topic_id", sa.Uuid, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("first_offset", sa.BigInteger, nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.BigInteger, server_default=sa.text("0"), nullable=False) for name in COUNTERS),
        _time("updated_at"),
    )
    op.create_table(
        "dead_letters",
        *_raw_record(),
        sa.Column("reason", sa.String(50), nullable=False),
        sa.Column("detail", sa.String, nullable=False),
        _time("created_at"),
        sa.Column("discarded_at", sa.DateTime(timezone=True)),
        _one_per_position("dead_letters"),
    )
    op.create_index("ix_dead_letters_reason", "dead_letters", ["reason"])
    op.create_table(
        "parked_events",
        *_raw_record(),
        sa.Column("detail", sa.String, nullable=False),
        _time("parked_at"),
        sa.Column("tried_at", sa.DateTime(timezone=True)),
        sa.Column("attempts", sa.Integer, server_default=sa.text("0"), nullable=False),
        _one_per_position("parked_events"),
    )


def downgrade() -> None:
    op.drop_table("parked_events")
    op.drop_table("dead_letters")
    op.drop_table("sink_offsets")
