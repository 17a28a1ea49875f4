"""A counter of events whose time is later than the broker's record time"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

DROPPED_BY_DOWNGRADE = {"sink_offsets": ("ahead",)}


def upgrade() -> None:
    op.add_column("sink_offsets", sa.Column("ahead", sa.BigInteger, server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    op.drop_column("sink_offsets", "ahead")
