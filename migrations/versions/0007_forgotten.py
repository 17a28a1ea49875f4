"""Users whose records are not to bring anything back, erased dead letters, and orders that were pruned by age"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

DROPPED_BY_DOWNGRADE: dict[str, tuple[str, ...]] = {
    "forgotten_users": (),
    "dead_letters": ("erased_at",),
    "row_changes": ("made_before",),
}


def upgrade() -> None:
    op.create_table(
        "forgotten_users",
        # The highest one is the version by which consumers notice a change: an entry that changes gets a new one.
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("user_id", sa.String(50), nullable=False),
        sa.Column("removed", sa.Boolean, server_default=sa.text("false"), nullable=False),
        sa.Column("reason", sa.String(50), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.UniqueConstraint("user_id", name="uq_forgotten_users_user_id"),
    )
    op.add_column("dead_letters", sa.Column("erased_at", sa.DateTime(timezone=True)))
    op.add_column("row_changes", sa.Column("made_before", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("row_changes", "made_before")
    op.drop_column("dead_letters", "erased_at")
    op.drop_table("forgotten_users")
