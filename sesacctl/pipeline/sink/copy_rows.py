"""Rows by COPY, PostgreSQL's fastest way in."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import msgspec
from psycopg2 import Error as PostgresError

from sesacctl.events import CODECS, Kind, Row

if TYPE_CHECKING:
    from psycopg2 import extensions

_encode_times = msgspec.json.Encoder().encode
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def copy_rows(
    cursor: extensions.cursor,
    kind: Kind,
    pieces: Iterable[Sequence[Row]],
    *,
    table: str | None = None,
    before: str = "",
) -> int:
    """COPY rows into the table of their kind, or into `table` with the same columns; returns how many are there now.

    They come in pieces, none of which is empty: PostgreSQL works on one while the next is made. Fewer than were sent: a
    trigger dropped some. `before` has statements that go with the COPY in one round trip; not without rows.

    Raises:
        psycopg2.Error: none of them was stored.
    """
    left = iter(pieces)
    if (first := next(left, None)) is None:
        return 0
    texts = _Texts(chain((first,), left))
    columns = ", ".join(CODECS[kind].columns)
    try:
        cursor.copy_expert(f"{before}COPY {table or kind} ({columns}) FROM STDIN", texts)
    except PostgresError:
        if texts.error is not None:
            raise texts.error from None  # psycopg2 turns it into what looks like PostgreSQL's
        raise
    return int(cursor.rowcount)


class _Texts(io.BufferedIOBase):
    """The lines of pieces as a file, of which each `read` makes those of one."""

    def __init__(self, pieces: Iterator[Sequence[Row]]) -> None:
        self.error: BaseException | None = None
        self._pieces = pieces

    def read(self, _size: int | None = -1, /) -> bytes:
        try:
            piece = next(self._pieces, None)
            return copy_text(piece).encode() if piece else b""
        except BaseException as error:
            self.error = error
            raise


def copy_text(rows: Sequence[Row]) -> str:
    """One line per row, columns in the order of the struct's fields; every row's `created_at` is set.

    Times without a zone are written without one: the session's TimeZone must be UTC.
    """
    width = len(rows[0].__struct_fields__)
    line = "\t".join(["%s"] * width) + "\n"
    # str(datetime) costs as much as the rest of the line together; msgspec writes all of them in one call.
    times = _encode_times([row.created_at for row in rows])[2:-2].decode().split('","')
    values = [(*msgspec.structs.astuple(row)[:-1], at) for row, at in zip(rows, times, strict=True)]
    plain = [line % row for row in values if None not in row]
    text = "".join(plain)
    # Only with every row in it do the numbers of line ends and tabs say that no field holds one.
    escaped = text.count("\n") != len(values) or text.count("\t") != len(values) * (width - 1)
    if len(plain) == len(values) and not escaped and "\\" not in text and "\r" not in text:
        return text
    return "".join(["\t".join(map(_escape, row)) + "\n" for row in values])


def _escape(value: object) -> str:
    return "\\N" if value is None else str(value).translate(_ESCAPES)
