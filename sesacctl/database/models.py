"""The tables. Alembic's migrations make them; this is what they must look like at head."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated, Any

from sqlalchemy import (
    CHAR,
    JSON,
    BigInteger,
    CheckConstraint,
    Computed,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    String,
    UniqueConstraint,
)
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Time = Annotated[dt.datetime, mapped_column(DateTime(timezone=True))]
Now = Annotated[dt.datetime, mapped_column(DateTime(timezone=True), server_default=sql("now()"))]
Id = Annotated[str, mapped_column(String(50), primary_key=True)]
Text20 = Annotated[str, mapped_column(String(20))]
Text50 = Annotated[str, mapped_column(String(50))]
Gender = Annotated[str, mapped_column(CHAR(1))]
AgeGroup = Annotated[str, mapped_column(String(10))]
Counter = Annotated[int, mapped_column(BigInteger, server_default=sql("0"))]
Serial = Annotated[int, mapped_column(BigInteger, Identity(), primary_key=True)]


class Base(DeclarativeBase):
    """All tables' metadata."""


def _aging(table: str, key: str) -> tuple[Index, Index]:
    """The two indexes that keep a cache refresh independent of the number of rows."""
    return (
        Index(f"ix_{table}_never_cached", key, postgresql_where=sql("last_cached_at IS NULL")),
        Index(f"ix_{table}_last_cached_at", "last_cached_at", postgresql_where=sql("last_cached_at IS NOT NULL")),
    )


class User(Base):
    """A customer."""

    __tablename__ = "users"
    __table_args__ = _aging("users", "user_id")

    user_id: Mapped[Id]
    name: Mapped[str] = mapped_column(String(100))
    gender: Mapped[Gender | None]
    age: Mapped[int | None]
    age_group: Mapped[AgeGroup | None]
    region: Mapped[Text50 | None]
    join_date: Mapped[dt.date | None]
    last_cached_at: Mapped[Time | None]
    created_at: Mapped[Now]


class Product(Base):
    """Something to buy; prices in won."""

    __tablename__ = "products"
    __table_args__ = _aging("products", "product_id")

    product_id: Mapped[Id]
    name: Mapped[str] = mapped_column(String(200))
    category: Mapped[Text50 | None]
    brand: Mapped[str | None] = mapped_column(String(100))
    price: Mapped[int]
    org_price: Mapped[int | None]
    discount_rate: Mapped[float | None]
    stock: Mapped[int | None]
    last_cached_at: Mapped[Time | None]
    created_at: Mapped[Now]


class Order(Base):
    """An order, with its user's and product's fields as they were when it was made."""

    __tablename__ = "orders"
    __table_args__ = (Index("ix_orders_created_at", "created_at", postgresql_using="brin"),)

    order_id: Mapped[Id]
    user_id: Mapped[str] = mapped_column(String(50), ForeignKey("users.user_id"))
    product_id: Mapped[str] = mapped_column(String(50), ForeignKey("products.product_id"))
    quantity: Mapped[int]
    total_amount: Mapped[int]
    shipping_cost: Mapped[int | None]
    discount_amount: Mapped[int | None]
    payment_method: Mapped[Text20 | None]
    status: Mapped[Text20 | None]
    category: Mapped[Text50 | None]
    user_region: Mapped[Text50 | None]
    user_gender: Mapped[Gender | None]
    user_age_group: Mapped[AgeGroup | None]
    created_at: Mapped[Now]


class SinkOffset(Base):
    """How far one partition has been stored; moved in the transaction that stores the rows."""

    __tablename__ = "sink_offsets"
    __table_args__ = (
        CheckConstraint(
            "epoch_offset IS NOT DISTINCT FROM next_offset", name="ck_sink_offsets_written_by_an_older_sesacctl"
        ),
    )

    consumer_group: Mapped[str] = mapped_column(String(255), primary_key=True)
    topic: Mapped[str] = mapped_column(String(249))
    topic_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    partition: Mapped[int] = mapped_column(primary_key=True)
    first_offset: Mapped[int] = mapped_column(BigInteger)
    next_offset: Mapped[int] = mapped_column(BigInteger)
    stored: Mapped[Counter]
    duplicates: Mapped[Counter]
    dead: Mapped[Counter]
    parked: Mapped[Counter]
    expired: Mapped[Counter]
    control: Mapped[Counter]
    ahead: Mapped[Counter]
    updated_at: Mapped[Now]
    # As Kafka keeps it beside a committed offset: the epoch of the last batch before `epoch_offset`.
    leader_epoch: Mapped[int | None]
    epoch_offset: Mapped[int | None] = mapped_column(BigInteger)
    last_offset: Mapped[int | None] = mapped_column(BigInteger)
    last_timestamp: Mapped[int | None] = mapped_column(BigInteger)
    last_crc: Mapped[int | None] = mapped_column(BigInteger)


# Of key, value and headers; NULL and empty differ.
_FINGERPRINT = (
    "sha256(coalesce('\\x01'::bytea || sha256(key), '\\x00'::bytea)"
    " || coalesce('\\x01'::bytea || sha256(value), '\\x00'::bytea)"
    " || (headers::text)::bytea)"
)


class _RawRecord:
    """A Kafka record as it was read: its position, and its bytes."""

    id: Mapped[Serial]
    consumer_group: Mapped[str] = mapped_column(String(255))
    topic: Mapped[str] = mapped_column(String(249))
    topic_id: Mapped[uuid.UUID]
    partition: Mapped[int]
    offset: Mapped[int] = mapped_column(BigInteger)
    key: Mapped[bytes | None] = mapped_column(LargeBinary)
    value: Mapped[bytes | None] = mapped_column(LargeBinary)
    headers: Mapped[list[Any]] = mapped_column(JSONB, server_default=sql("'[]'"))
    record_time: Mapped[Time | None]
    # After a log was cut, another record has the same position.
    fingerprint: Mapped[bytes] = mapped_column(LargeBinary, Computed(_FINGERPRINT, persisted=True))
    # In the counters of its partition; no longer once these were reset.
    counted: Mapped[bool] = mapped_column(server_default=sql("true"))


def _kept_once(table: str) -> UniqueConstraint:
    return UniqueConstraint(
        "consumer_group", "topic_id", "partition", "offset", "fingerprint", name=f"uq_{table}_record"
    )


class DeadLetter(_RawRecord, Base):
    """A record that cannot be stored, and why; never deleted, at most marked as discarded.

    One that was stored with a `patch` keeps its bytes, and is discarded too. `patched_at` is NULL again once it was
    read and refused once more.
    """

    __tablename__ = "dead_letters"
    __table_args__ = (_kept_once("dead_letters"), Index("ix_dead_letters_reason", "reason"))

    reason: Mapped[Text50]
    detail: Mapped[str]
    created_at: Mapped[Now]
    discarded_at: Mapped[Time | None]
    # Since then it has no bytes: its user was forgotten.
    erased_at: Mapped[Time | None]
    patch: Mapped[Any | None] = mapped_column(JSON)
    patched_at: Mapped[Time | None]


class ParkedEvent(_RawRecord, Base):
    """A record whose user or product is not there yet; retried by the owner of its partition."""

    __tablename__ = "parked_events"
    __table_args__ = (_kept_once("parked_events"),)

    detail: Mapped[str]
    parked_at: Mapped[Now]
    tried_at: Mapped[Time | None]
    attempts: Mapped[int] = mapped_column(server_default=sql("0"))


class LogCut(Base):
    """The verdict that a log is not the one that was read; it stands until a person accepts it."""

    __tablename__ = "log_cuts"
    __table_args__ = (
        Index(
            "uq_log_cuts_open",
            *("consumer_group", "topic_id", "partition"),
            unique=True,
            postgresql_where=sql("accepted_at IS NULL"),
        ),
    )

    id: Mapped[Serial]
    consumer_group: Mapped[str] = mapped_column(String(255))
    topic: Mapped[str] = mapped_column(String(249))
    topic_id: Mapped[uuid.UUID]
    partition: Mapped[int]
    next_offset: Mapped[int] = mapped_column(BigInteger)
    diverged_at: Mapped[int | None] = mapped_column(BigInteger)
    detail: Mapped[str]
    found_at: Mapped[Now]
    accepted_at: Mapped[Time | None]


class RowChange(Base):
    """Rows that came into a table or left it lawfully and not by the sink: what `audit` holds `count(*)` against."""

    __tablename__ = "row_changes"

    id: Mapped[Serial]
    table_name: Mapped[str] = mapped_column(String(63))
    change: Mapped[int] = mapped_column(BigInteger)
    reason: Mapped[Text50]
    at: Mapped[Now]
    # Of orders that were pruned: all of them were made before then.
    made_before: Mapped[Time | None]


class ForgottenUser(Base):
    """A user whose records in Kafka are not to bring anything personal back, or, if `removed`, nothing at all."""

    __tablename__ = "forgotten_users"
    __table_args__ = (UniqueConstraint("user_id", name="uq_forgotten_users_user_id"),)

    id: Mapped[Serial]
    user_id: Mapped[str] = mapped_column(String(50))
    removed: Mapped[bool] = mapped_column(server_default=sql("false"))
    reason: Mapped[Text50]
    at: Mapped[Now]
