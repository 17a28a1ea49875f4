"""Indexes and vacuum settings that keep a cache refresh as quick at five million rows as at ten thousand"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

KEYS = {"users": "user_id", "products": "product_id"}


def upgrade() -> None:
    for table, key in KEYS.items():
        op.create_index(f"ix_{table}_never_cached", table, [key], postgresql_where=sa.text("last_cached_at IS NULL"))
        op.create_index(
            f"ix_{table}_last_cached_at",
            table,
            ["last_cached_at"],
            postgresql_where=sa.text("last_cached_at IS NOT NULL"),
        )
        # Each round leaves 1,000 dead rows; a share of the table would let millions pile up.
        op.execute(f"ALTER TABLE {table} SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000)")
    op.create_index("ix_orders_created_at", "orders", ["created_at"], postgresql_using="brin")


def downgrade() -> None:
    op.drop_index("ix_orders_created_at", "orders")
    for table in KEYS:
        op.execute(f"ALTER TABLE {table} RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold)")
        op.drop_index(f"ix_{table}_last_cached_at", table)
        op.drop_index(f"ix_{table}_never_cached", table)
