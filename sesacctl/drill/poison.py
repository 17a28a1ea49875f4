"""Messages that nobody should have sent to `orders`: broken, wrong in one thing, odd but right, or sent twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any
from uuid import uuid4

Sent = tuple[bytes | None, bytes | None]
"""Key and value."""


def order(dice: Random, users: Sequence[str], products: Sequence[str], *, prefix: str) -> dict[str, Any]:
    """A whole event with an order that no one else has; `prefix` is how its id begins."""
    row = {
        "order_id": f"{prefix}{uuid4().hex[:20]}",
        "user_id": dice.choice(users),
        "product_id": dice.choice(products),
        "quantity": dice.randint(1, 9),
        "total_amount": dice.randint(0, 10**6),
    }
    return {"event_type": "order_created", "timestamp": datetime.now(UTC).isoformat(), "order": row}


def message(event: dict[str, Any]) -> tuple[bytes, bytes]:
    """Key and value, as they should be."""
    return event["order"]["user_id"].encode(), json.dumps(event, ensure_ascii=False).encode()


_VALUES: tuple[bytes | None, ...] = (
    *(None, b"", b"{", b"null", b"[]", b'"text"', b"0", b"\xff\xfe\x00", b"\xef\xbb\xbf{}", b"{}" * 3),
    *(
        b'{"order":null}',
        b'{"order":{}}',
        b'{"event_type":"order_created"}',
        b'{"event_type":"user_created","user":{}}',
    ),
    *(
        b"[" * 20_000,
        b'{"order":' * 5_000,
        b'{"a":1e999}',
        b'{"quantity":' + b"9" * 400 + b"}",
        b"\x00\x00\x00\x00\x01{}",
    ),
)
# Of an order that is right otherwise.
_WRONG: tuple[dict[str, Any], ...] = (
    *({"quantity": value} for value in (0, -1, 2**31, 1.5, "1", None, True)),
    *({"total_amount": value} for value in (-1, 2**63, float("nan"), float("inf"))),
    *({"order_id": value} for value in ("", "x" * 51, None, 7, "\x00", "\ud800")),
    *({"user_id": value} for value in ("nobody", "u\x00", "'; DROP TABLE orders; --", "\\N", "\t\n")),
    *({"created_at": value} for value in ("yesterday", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", 5)),
    *({"payment_method": value} for value in ("\\.", "a\tb\nc", "😀" * 10, "x" * 21)),
)
_HARMLESS: tuple[dict[str, Any], ...] = (
    {"status": "\\N"}, {"category": "a\tb\\c\r\n"}, {"user_region": "서울 \u202e"}, {"unknown": {"deep": [1, {}]}},
)  # fmt: skip


def hostile(dice: Random, users: Sequence[str], products: Sequence[str], *, prefix: str) -> Iterator[Sent]:
    """Messages without end: from a corpus, broken ones, ones that are right in all but one thing, and repeated ones.

    Ids begin with `prefix`.
    """
    sent: list[Sent] = []
    while True:
        kind = dice.randrange(7)
        event = order(dice, users, products, prefix=prefix)
        key, value = message(event)
        if kind == 0:
            yield dice.choice((None, b"", key, b"\xff")), dice.choice(_VALUES)
        elif kind == 1:
            yield key, _with(event, dice.choice(_WRONG))
        elif kind == 2:
            harmless = _with(event, dice.choice(_HARMLESS))
            yield key, dice.choice((harmless, json.dumps(event["order"]).encode()))  # a bare row is one, too
        elif kind == 3:
            yield dice.choice((None, b"", b"another", key[:-1])), value
        elif kind == 4:
            yield key, _mutated(dice, value)
        elif kind == 5 and sent:
            again_key, again = dice.choice(sent)  # the same once more, or with another body
            assert again is not None
            yield again_key, dice.choice((again, again.replace(b'"quantity": ', b'"quantity": 1')))
        else:
            sent.append((key, value))
            yield key, value


def _with(event: dict[str, Any], values: dict[str, Any]) -> bytes:
    text = json.dumps(event | {"order": event["order"] | values}, ensure_ascii=False)
    return text.encode("utf-8", errors="surrogatepass")


def _mutated(dice: Random, value: bytes) -> bytes:
    """Cut short, or with some bytes changed, left out or doubled."""
    data = bytearray(value)
    if dice.random() < 0.2:
        return bytes(data[: dice.randrange(len(data))])
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(data))
        data[place : place + 1] = dice.choice((b"", bytes([dice.randrange(256)]), data[place : place + 1] * 2))
    return bytes(data)
