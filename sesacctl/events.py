"""The events on the wire, declared once: lengths, ranges, types and dates are checked while decoding.

A value is UTF-8 JSON, either an envelope `{"event_type": "order_created", "timestamp": …, "order": {…columns…}}`
(`user` for `user_created`, `product` for `product_created`) or the bare row. Unknown fields are not an error, and
null in an optional field means that it is absent.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from datetime import UTC, date, datetime, tzinfo
from enum import StrEnum
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType


class Kind(StrEnum):
    """What an event is about: the name of its row's table, and of its topic but for the prefix."""

    ORDERS = "orders"
    USERS = "users"
    PRODUCTS = "products"


ORDERS, USERS, PRODUCTS = Kind.ORDERS, Kind.USERS, Kind.PRODUCTS
PARTITIONS = {ORDERS: 9, USERS: 3, PRODUCTS: 3}
INT4_MAX = 2_147_483_647
LAST_MS = 253_402_300_799_000  # the last second that a datetime can hold
_UUID7 = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)

# Lengths and ranges are those of the columns in database/models.py.
Id = Annotated[str, Meta(min_length=1, max_length=50)]
Str10 = Annotated[str, Meta(max_length=10)]
Str20 = Annotated[str, Meta(max_length=20)]
Str50 = Annotated[str, Meta(max_length=50)]
Str100 = Annotated[str, Meta(max_length=100)]
Str200 = Annotated[str, Meta(max_length=200)]
Gender = Annotated[str, Meta(min_length=1, max_length=1)]
Count = Annotated[int, Meta(ge=1, le=INT4_MAX)]
Amount = Annotated[int, Meta(ge=0, le=INT4_MAX)]
Age = Annotated[int, Meta(ge=0, le=150)]


class Order(Struct, gc=False, kw_only=True):
    """A row of `orders`; field order is the column order of the table."""

    order_id: Id
    user_id: Id
    product_id: Id
    quantity: Count
    total_amount: Amount
    shipping_cost: Amount = 0
    discount_amount: Amount = 0
    payment_method: Str20 | None = None
    status: Str20 | None = None
    category: Str50 | None = None
    user_region: Str50 | None = None
    user_gender: Gender | None = None
    user_age_group: Str10 | None = None
    created_at: datetime | None = None


class User(Struct, gc=False, kw_only=True):
    """A row of `users`, less `last_cached_at`, which only the cache worker writes."""

    user_id: Id
    name: Str100
    gender: Gender | None = None
    age: Age | None = None
    age_group: Str10 | None = None
    region: Str50 | None = None
    join_date: date | None = None
    created_at: datetime | None = None


class Product(Struct, gc=False, kw_only=True):
    """A row of `products`, less `last_cached_at`, which only the cache worker writes."""

    product_id: Id
    name: Str200
    category: Str50 | None = None
    brand: Str100 | None = None
    price: Amount
    org_price: Amount | None = None
    discount_rate: Annotated[float, Meta(ge=0, le=100)] | None = None
    stock: Amount | None = None
    created_at: datetime | None = None


class OrderEvent(Struct, gc=False, kw_only=True):
    """An order was made."""

    event_type: Literal["order_created"] = "order_created"
    timestamp: datetime
    order: Order


class UserEvent(Struct, gc=False, kw_only=True):
    """A user signed up."""

    event_type: Literal["user_created"] = "user_created"
    timestamp: datetime
    user: User


class ProductEvent(Struct, gc=False, kw_only=True):
    """A product went on sale."""

    event_type: Literal["product_created"] = "product_created"
    timestamp: datetime
    product: Product


Row = Order | User | Product
Event = OrderEvent | UserEvent | ProductEvent


class Reason(StrEnum):
    """Why a message is in `dead_letters`."""

    TOMBSTONE = "tombstone"
    INVALID_JSON = "invalid_json"
    INVALID_FIELD = "invalid_field"
    WRONG_EVENT = "wrong_event"
    WRONG_KEY = "wrong_key"
    CONFLICT = "conflict"
    REFUSED = "refused"
    ORPHAN = "orphan"
    UNREADABLE = "unreadable"


class Malformed(ValueError):
    """A message that is not an event of its topic: `reason` is a short code, the text says more."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class _Outline(Struct):
    """The parts of a message that distinguish an envelope from a bare row."""

    event_type: str | UnsetType = UNSET
    order: Raw | UnsetType = UNSET
    user: Raw | UnsetType = UNSET
    product: Raw | UnsetType = UNSET


_outline = msgspec.json.Decoder(_Outline)


class Codec:
    """Decodes and checks the messages of one topic.

    `row` is the struct of the table, `columns` its column names in order; the first is the primary key, `id_column`.
    `message_key` is the column that a record is keyed by, `field` the member of the `event` that holds the row.
    """

    def __init__(self, event: type[Event], row: type[Row], field: str, message_key: str) -> None:
        self.row, self.columns, self.message_key = row, row.__struct_fields__, message_key
        self.id_column = self.columns[0]
        self.event, self.field = event, field
        self._field = field
        # Strict first: it is as fast, and only what it refuses needs a look at unknown fields.
        strict_row = msgspec.defstruct(f"Strict{row.__name__}", [], bases=(row,), forbid_unknown_fields=True)
        strict = msgspec.defstruct(
            f"Strict{event.__name__}", [(field, strict_row)], bases=(event,), kw_only=True, forbid_unknown_fields=True
        )
        self._strict: msgspec.json.Decoder[Any] = msgspec.json.Decoder(strict)
        self._strict_row: msgspec.json.Decoder[Any] = msgspec.json.Decoder(strict_row)
        self._lenient: msgspec.json.Decoder[Any] = msgspec.json.Decoder(event)
        self._lenient_row: msgspec.json.Decoder[Any] = msgspec.json.Decoder(row)

    def id_of(self, row: Row) -> str:
        """The row's primary key."""
        return str(getattr(row, self.id_column))

    def decode(self, key: bytes | None, value: bytes | None, timestamp_ms: int, zone: tzinfo = UTC) -> tuple[Row, bool]:
        """The row, and whether unknown fields were ignored.

        `created_at` falls back to the envelope's time, then to the record's. A time without a zone is one of `zone`.

        Raises:
            Malformed: not an event of this topic, or the key is not the row's own.
        """
        if value is None:
            raise Malformed(Reason.TOMBSTONE, "the record has no value")
        try:
            event = self._strict.decode(value)
            row, unknown, created_at = getattr(event, self._field), False, event.timestamp
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            row, unknown, created_at = self._decode_with_nulls(value)
        if row.created_at is None:
            row.created_at = created_at or datetime.fromtimestamp(min(max(timestamp_ms, 0), LAST_MS) / 1000, UTC)
        if not 1 < row.created_at.year < 9999:  # so that every time zone can show it
            raise Malformed(Reason.INVALID_FIELD, "created_at: the year is out of range")
        if row.created_at.tzinfo is None:
            row.created_at = row.created_at.replace(tzinfo=zone).astimezone(UTC)
        if key != getattr(row, self.message_key).encode():
            raise Malformed(Reason.WRONG_KEY, f"the record's key is not its {self.message_key}")
        if b"\\u0000" in value and any("\0" in text for text in msgspec.structs.astuple(row) if isinstance(text, str)):
            raise Malformed(Reason.INVALID_FIELD, "PostgreSQL cannot store the character U+0000")
        return row, unknown

    def _decode_with_nulls(self, value: bytes) -> tuple[Any, bool, datetime | None]:
        """As `_decode_slowly`; where that refuses it, null in an optional field means that the field is absent."""
        try:
            return self._decode_slowly(value)
        except Malformed:
            if (without := _without_nulls(value)) is None:
                raise
            try:
                event = self._strict.decode(without)
                return getattr(event, self._field), False, event.timestamp
            except msgspec.ValidationError:
                with suppress(Malformed):
                    return self._decode_slowly(without)
            raise

    def _decode_slowly(self, value: bytes) -> tuple[Any, bool, datetime | None]:
        try:
            value.decode()  # msgspec does not look at the names and texts of unknown fields
            outline = _outline.decode(value)
            if outline.event_type is not UNSET or getattr(outline, self._field) is not UNSET:
                event = self._lenient.decode(value)
                return getattr(event, self._field), True, event.timestamp
            try:
                return self._strict_row.decode(value), False, None
            except msgspec.ValidationError:
                return self._lenient_row.decode(value), True, None
        except msgspec.ValidationError as error:
            wrong_event = "$.event_type" in str(error) or f"missing required field `{self._field}`" in str(error)
            raise Malformed(Reason.WRONG_EVENT if wrong_event else Reason.INVALID_FIELD, str(error)) from None
        except RecursionError:
            raise Malformed(Reason.INVALID_JSON, "the JSON is nested too deeply") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Malformed(Reason.INVALID_JSON, str(error)) from None


def _without_nulls(value: bytes) -> bytes | None:
    """The JSON without its fields that are null, and without those of its parts; None if there are none."""
    if b"null" not in value:
        return None
    try:
        document = msgspec.json.decode(value)
        if not isinstance(document, dict):
            return None
        kept = {name: _filled(part) if isinstance(part, dict) else part for name, part in _filled(document).items()}
        return _encoder.encode(kept)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError):
        return None


def _filled(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


CODECS = {
    ORDERS: Codec(OrderEvent, Order, "order", "user_id"),
    USERS: Codec(UserEvent, User, "user", "user_id"),
    PRODUCTS: Codec(ProductEvent, Product, "product", "product_id"),
}

_encoder = msgspec.json.Encoder()


def encode(event: Event) -> tuple[Kind, bytes, bytes]:
    """Kind, key and value of an event as they go to Kafka."""
    if isinstance(event, OrderEvent):
        return ORDERS, event.order.user_id.encode(), _encoder.encode(event)
    if isinstance(event, UserEvent):
        return USERS, event.user.user_id.encode(), _encoder.encode(event)
    return PRODUCTS, event.product.product_id.encode(), _encoder.encode(event)


def record_time(timestamp_ms: int) -> datetime | None:
    """The time of a record in UTC, from milliseconds since 1970; None if it has none that a datetime can hold."""
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC) if 0 <= timestamp_ms <= LAST_MS else None


def uuid7_time(text: str) -> datetime | None:
    """When a UUIDv7 was made (RFC 9562, 5.7: its first 48 bits are milliseconds); None of any other text."""
    match = _UUID7.fullmatch(text)
    return record_time(int(match[1] + match[2], 16)) if match else None


def uuid7(randomness: int | None = None) -> str:
    """A UUIDv7 as text: time-ordered, with 12 bits of sub-millisecond time (RFC 9562, 6.2 method 3).

    `randomness` has 62 random bits; the system is asked for them by default. That is a call during which Python runs
    other threads, so that a loop waits for them each time.
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    fraction = rest * 4096 // 1_000_000
    if randomness is None:
        randomness = int.from_bytes(os.urandom(8)) & 0x3FFF_FFFF_FFFF_FFFF
    text = f"{milliseconds << 80 | 0x7 << 76 | fraction << 64 | 0x2 << 62 | randomness:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
