"""`events check`: each event of a file, by the consumer's decoder; and files that hold none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sesacctl.events import ORDERS, PRODUCTS, USERS, Kind
from sesacctl.pipeline.contract.check import DEAD_LETTER, STORE, check
from tests.conftest import Cli
from tests.helpers.events import message, order, product, user

EVENT = message(order(1))[1] or b""
BARE = b'{"order_id":"o1","user_id":"u1","product_id":"p1","quantity":1,"total_amount":1}'


def outcome(content: bytes, kind: Kind | None = None) -> list[tuple[int, str | None, str | None]]:
    return [(event.line, event.kind, event.reason) for event in check(content, kind).events]


def test_lines_are_checked_one_by_one() -> None:
    found = check(EVENT + b"\r\n\n" + BARE + b"\n{broken\n" + EVENT.replace(b'"o1"', b"7") + b"\n")
    assert [(event.line, event.action, event.reason) for event in found.events] == [
        (1, STORE, None), (3, STORE, None), (4, DEAD_LETTER, "invalid_json"), (5, DEAD_LETTER, "invalid_field"),
    ]  # fmt: skip
    assert (found.accepted, found.refused) == (2, 2)
    assert [event.id for event in found.events] == ["o1", "o1", None, None]
    assert "$.order.order_id" in found.events[3].detail


def test_one_document_may_have_many_lines() -> None:
    assert outcome(json.dumps(json.loads(EVENT), indent=2).encode()) == [(1, ORDERS, None)]
    assert outcome(b"\n\n" + EVENT) == [(3, ORDERS, None)]


def test_a_broken_line_does_not_hide_the_others() -> None:
    assert outcome(b"\xef\xbb\xbf" + EVENT + b"\n" + EVENT) == [(1, None, "invalid_json"), (2, ORDERS, None)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (EVENT.decode().encode("utf-16"), "UTF-16"),
        (b"[" + EVENT + b"]", "a JSON array of 1"),
        (json.dumps(EVENT.decode()).encode(), "encoded twice"),
        (b'{"op":"c","before":null,"after":' + BARE + b"}", "unwrap debezium"),
    ],
)
def test_a_foreign_format_is_named(content: bytes, said: str) -> None:
    [event] = check(content).events
    assert event.action == DEAD_LETTER
    assert said in event.detail


def test_the_topic_is_inferred_from_type_member_or_columns() -> None:
    for event, kind in ((order(1), ORDERS), (user(1), USERS), (product(1), PRODUCTS)):
        value = message(event)[1] or b""
        document = json.loads(value)
        member = kind[:-1]
        assert outcome(value) == [(1, kind, None)]
        assert outcome(json.dumps({key: document[key] for key in ("timestamp", member)}).encode()) == [(1, kind, None)]
        assert outcome(json.dumps(document[member]).encode()) == [(1, kind, None)]
    assert outcome(b'{"x":1}') == [(1, None, "invalid_field")]
    assert outcome(b'{"event_type":"order_shipped","order":{}}') == [(1, ORDERS, "wrong_event")]
    assert outcome(EVENT, USERS) == [(1, USERS, "wrong_event")]


def test_remarks_on_an_accepted_event_are_shown() -> None:
    said = check(BARE[:-1] + b',"colour":"red","created_at":"2026-11-22T20:00:00+09:00"}').events[0]
    assert (said.unknown_fields, said.created_at and said.created_at.isoformat()) == (True, "2026-11-22T20:00:00+09:00")
    assert said.detail == "parked while its user or product is not there; unknown fields are ignored"


@given(content=st.binary() | st.lists(st.sampled_from([EVENT, BARE, b"", b"{", b"null", b"[]"])).map(b"\n".join))
def test_any_file_is_checked(content: bytes) -> None:
    found = check(content)
    assert found.accepted + found.refused == len(found.events)
    assert not content.strip() or found.events


def test_the_command_ends_with_5_if_one_would_be_refused(bare_sesacctl: Cli) -> None:
    file = bare_sesacctl.folder / "events.jsonl"
    file.write_bytes(EVENT + b"\n" + BARE)
    assert bare_sesacctl("events", "check", file).returncode == 0
    file.write_bytes(EVENT + b"\n{}\n")
    done = bare_sesacctl("events", "check", file)
    assert done.returncode == 5
    assert "1 of 2 would be refused" in done.stderr
    assert "dead letter: invalid_field" in done.stdout
    done = bare_sesacctl("events", "check", "-", "--kind", "users", "-o", "jsonl", input=EVENT.decode())
    assert (done.returncode, json.loads(done.stdout)["refused"]) == (5, 1)


@pytest.mark.parametrize(
    ("name", "said"),
    [("missing", "No such file or directory"), (".", "Is a directory"), ("empty", "holds no event")],
)
def test_a_file_without_events_is_a_clear_error(bare_sesacctl: Cli, name: str, said: str) -> None:
    Path(bare_sesacctl.folder / "empty").write_text("\n \n")
    done = bare_sesacctl("events", "check", name)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_schema_is_printed_as_json(bare_sesacctl: Cli) -> None:
    one, every = bare_sesacctl("events", "schema", "users"), bare_sesacctl("events", "schema")
    assert set(json.loads(one.stdout)["$defs"]) == {"UserEvent", "User"}
    assert len(json.loads(every.stdout)["anyOf"]) == 3
    assert bare_sesacctl("events", "schema", "carts").returncode == 2
