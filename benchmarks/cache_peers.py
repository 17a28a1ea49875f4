"""What the refresh is measured against: the seed guide's SQL, and its predecessor's way of doing the whole round."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from redis import Redis
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from sesacctl.database.models import Product, User

TABLES = {"users": "user_id", "products": "product_id"}


def seed_sql(cursor: Any) -> dict[str, list[tuple[Any, ...]]]:
    """The seed guide's queries: two SELECTs and an UPDATE with 1,000 ids for each table."""
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for table, key in TABLES.items():
        rows[table] = _select(cursor, table)
        ids = [row[0] for row in rows[table]]
        cursor.execute(f"UPDATE {table} SET last_cached_at = NOW() WHERE {key} IN %s", (tuple(ids),))
    return rows


def predecessor(engine: Engine, redis: Redis) -> None:
    """Through the ORM, as the seed's code is: an UPDATE per row; then DEL and an HSET per row.

    Readers find the hash empty in between.
    """
    for model in (User, Product):
        with Session(engine) as session:
            rows = [*_some(session, model, None), *_some(session, model, model.last_cached_at)]
            now = datetime.now(UTC)
            for row in rows:
                row.last_cached_at = now
            names = [column.name for column in model.__table__.columns]
            documents = [{name: getattr(row, name) for name in names} for row in rows]
            session.commit()
        table = model.__tablename__
        redis.delete(f"cache:{table}")
        for document in documents:
            redis.hset(f"cache:{table}", document[names[0]], json.dumps(document, ensure_ascii=False, default=str))


def _some(session: Session, model: type[User] | type[Product], order: Any) -> Sequence[Any]:
    condition = model.last_cached_at.is_(None) if order is None else model.last_cached_at.is_not(None)
    return session.scalars(select(model).where(condition).order_by(order).limit(500)).all()


def predecessor_draw(redis: Redis) -> Any:
    """A random user: its id, its JSON, and the decoding, for each draw."""
    key = redis.hrandfield("cache:users")
    return json.loads(redis.hget("cache:users", key))  # type: ignore[arg-type]


def _select(cursor: Any, table: str) -> list[tuple[Any, ...]]:
    rows = []
    for condition in ("IS NULL", "IS NOT NULL ORDER BY last_cached_at ASC"):
        cursor.execute(f"SELECT * FROM {table} WHERE last_cached_at {condition} LIMIT 500")
        rows += cursor.fetchall()
    return rows
