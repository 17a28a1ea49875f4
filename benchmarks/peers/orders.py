"""The messages of `orders` as rows, for peers in Python, and where the servers are."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from csv import writer
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

# The same messages in another compression, for those that cannot read zstd.
LZ4_TOPIC = "orders.lz4"


class Row(Struct, gc=False):
    """Columns of the table in their order; a time stays the text that it is."""

    order_id: str
    user_id: str
    product_id: str
    quantity: int
    total_amount: int
    shipping_cost: int = 0
    discount_amount: int = 0
    payment_method: str | None = None
    status: str | None = None
    category: str | None = None
    user_region: str | None = None
    user_gender: str | None = None
    user_age_group: str | None = None
    created_at: str | None = None


class TimedRow(Row):
    """With the time as Python's, which COPY in binary needs."""

    created_at: datetime | None = None  # type: ignore[assignment]


class _Event(Struct, gc=False):
    order: Row


class _TimedEvent(Struct, gc=False):
    order: TimedRow


COLUMNS = Row.__struct_fields__
COPY = f"COPY orders ({', '.join(COLUMNS)}) FROM STDIN"
# For a batch with an order that is there already, as after a change of the group.
STAGE = "CREATE TEMP TABLE IF NOT EXISTS staged (LIKE orders) ON COMMIT DELETE ROWS"
COPY_STAGED = COPY.replace("orders", "staged", 1)
MOVE_STAGED = "INSERT INTO orders SELECT * FROM staged ON CONFLICT DO NOTHING"
_decode = msgspec.json.Decoder(_Event).decode
_decode_timed = msgspec.json.Decoder(_TimedEvent).decode


def csv_text(values: Iterable[bytes]) -> str:
    """Lines for `COPY … (FORMAT csv)`; nothing between two commas is NULL, and no order has an empty text."""
    buffer = io.StringIO()
    writer(buffer, lineterminator="\n").writerows(rows(values))
    return buffer.getvalue()


def rows(values: Iterable[bytes]) -> Iterator[tuple[Any, ...]]:
    """Rows with times that are text."""
    return (astuple(_decode(value).order) for value in values)


def tuples(values: Iterable[bytes]) -> list[tuple[Any, ...]]:
    """Rows with times that are Python's."""
    return [astuple(_decode_timed(value).order) for value in values]


def brokers() -> str:
    """As `--bootstrap-servers` has them."""
    return os.environ["KAFKA_BOOTSTRAP_SERVERS"]


def postgres() -> dict[str, Any]:
    """libpq's parameters."""
    names = {"host": "POSTGRES_HOST", "port": "POSTGRES_PORT", "user": "POSTGRES_USER", "dbname": "POSTGRES_DB"}
    return {name: os.environ[variable] for name, variable in names.items()}


def url() -> str:
    """The same as an address, for a server's socket: its folder stands for the host."""
    where = postgres()
    return f"postgres://{where['user']}@localhost/{where['dbname']}?host={quote(where['host'], safe='')}"
