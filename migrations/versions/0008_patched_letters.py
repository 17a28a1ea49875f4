"""The patch with which a dead letter was replayed, beside its original bytes"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# What was replayed stays discarded, and in no counter: older versions take it for resolved.
DROPPED_BY_DOWNGRADE = {"dead_letters": ("patch", "patched_at")}


def upgrade() -> None:
    op.add_column("dead_letters", sa.Column("patch", sa.JSON))
    op.add_column("dead_letters", sa.Column("patched_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("dead_letters", "patched_at")
    op.drop_column("dead_letters", "patch")
