"""Users, products and orders, as the pipeline's first version made them with create_all"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

DROPPED_BY_DOWNGRADE: dict[str, tuple[str, ...]] = {"orders": (), "products": (), "users": ()}


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("user_id", sa.String(50), primary_key=True),
        sa.Column("name", sa.String(100)),
        sa.Column("gender", sa.CHAR(1)),
        sa.Column("age", sa.Integer),
        sa.Column("age_group", sa.String(10)),
        sa.Column("region", sa.String(50)),
        sa.Column("join_date", sa.Date),
        sa.Column("last_cached_at", sa.DateTime),
        sa.Column("created_at", sa.DateTime),
    )
    op.create_table(
        "products",
        sa.Column("product_id", sa.String(50), primary_key=True),
        sa.Column("name", sa.String(200)),
        sa.Column("category", sa.String(50)),
        sa.Column("brand", sa.String(100)),
        sa.Column("price", sa.Integer),
        sa.Column("org_price", sa.Integer),
        sa.Column("discount_rate", sa.Float),
        sa.Column("stock", sa.Integer),
        sa.Column("last_cached_at", sa.DateTime),
        sa.Column("created_at", sa.DateTime),
    )
    op.create_table(
        "orders",
        sa.Column("order_id", sa.String(50), primary_key=True),
        sa.Column("user_id", sa.String(50), sa.ForeignKey("users.user_id")),
        sa.Column("product_id", sa.String(50), sa.ForeignKey("products.product_id")),
        sa.Column("quantity", sa.Integer),
        sa.Column("total_amount", sa.Integer),
        sa.Column("shipping_cost", sa.Integer),
        sa.Column("discount_amount", sa.Integer),
        sa.Column("payment_method", sa.String(20)),
        sa.Column("status", sa.String(20)),
        sa.Column("category", sa.String(50)),
        sa.Column("user_region", sa.String(50)),
        sa.Column("user_gender", sa.CHAR(1)),
        sa.Column("user_age_group", sa.String(10)),
        sa.Column("created_at", sa.DateTime),
    )


def downgrade() -> None:
    op.drop_table("orders")
    op.drop_table("products")
    op.drop_table("users")
