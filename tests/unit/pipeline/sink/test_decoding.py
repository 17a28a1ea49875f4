"""Records become rows a piece at a time, as PostgreSQL takes them in."""

from __future__ import annotations

from sesacctl.events import ORDERS, USERS
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.pipeline.sink.decoding import PIECE, Decoding
from tests.helpers.events import Message, batch, many_orders, message, order, user

BAD: Message = (b"u1", b"{")


def test_pieces_are_all_rows_in_order_and_none_is_empty() -> None:
    """A COPY ends at the first piece with nothing in it."""
    messages = [*many_orders(PIECE + 1), *[BAD] * (3 * PIECE), *many_orders(2 * PIECE + 1)]
    decoding = Decoding([batch(messages[:10], partition=0), batch(messages[10:], partition=1)])
    pieces = list(decoding.pieces(ORDERS))
    assert all(pieces)
    assert len(pieces) >= 3
    assert [entry for piece in pieces for entry in piece] == decoding.entries[ORDERS]
    places = [(entry.batch.partition, entry.record.offset) for entry in decoding.entries[ORDERS]]
    assert places == sorted(places)
    assert len(places) == 3 * PIECE + 2


def test_what_is_left_is_decoded_once() -> None:
    found = batch([*many_orders(3 * PIECE), BAD])
    decoding = Decoding([found])
    first = next(decoding.pieces(ORDERS))
    assert len(first) == len(decoding.entries[ORDERS]) == PIECE
    assert len(decoding.finish()[ORDERS]) == 3 * PIECE
    assert decoding.finish()[ORDERS][:PIECE] == first
    assert decoding.counts == {found.key: Counts(stored=3 * PIECE)}
    assert [refusal.record.offset for refusal in decoding.refusals] == [3 * PIECE]


def test_each_partition_has_its_figures() -> None:
    of_orders = batch([message(order(number)) for number in range(3)], partition=4)
    of_users = batch([message(user(1)), BAD, message(user(2))], kind=USERS)
    decoding = Decoding([of_orders, of_users])
    entries = decoding.finish()
    assert [len(entries[kind]) for kind in (ORDERS, USERS)] == [3, 2]
    assert {key: counts.stored for key, counts in decoding.counts.items()} == {of_orders.key: 3, of_users.key: 2}


def test_what_a_forgotten_user_sent_is_taken_out_of_each_piece() -> None:
    messages = [message(order(number, user_id=f"u{number % 2}")) for number in range(2 * PIECE)]
    decoding = Decoding([batch(messages)], forgotten={"u0": True})
    rows = decoding.finish()[ORDERS]
    assert {entry.row.user_id for entry in rows} == {"u1"}  # type: ignore[union-attr]
    assert len(rows) == len(decoding.refusals) == PIECE
