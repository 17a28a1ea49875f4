"""Times with a time zone, and the columns that the loop cannot do without"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIMES = {
    "users": ("last_cached_at", "created_at"),
    "products": ("last_cached_at", "created_at"),
    "orders": ("created_at",),
}
REQUIRED = {
    "users": ("name",),
    "products": ("name", "price"),
    "orders": ("user_id", "product_id", "quantity", "total_amount"),
}
# What uses these columns has to go before their type can change.
RETYPED = TIMES


def upgrade() -> None:
    # PostgreSQL reads the old values in the session's time zone: the one that the user named, or else its own.
    if zone := context.config.attributes.get("timestamps_in"):
        op.execute(f"SET LOCAL TimeZone = '{zone}'")
    for table, columns in TIMES.items():
        for column in columns:
            op.alter_column(table, column, type_=sa.DateTime(timezone=True))
        op.execute(f"UPDATE {table} SET created_at = now() WHERE created_at IS NULL")
        op.alter_column(table, "created_at", nullable=False, server_default=sa.text("now()"))
        for column in REQUIRED[table]:
            op.alter_column(table, column, nullable=False)


def downgrade() -> None:
    for table, columns in TIMES.items():
        for column in REQUIRED[table]:
            op.alter_column(table, column, nullable=True)
        op.alter_column(table, "created_at", nullable=True, server_default=None)
        for column in columns:
            op.alter_column(table, column, type_=sa.DateTime())
