"""Dead letters: looked at safely, replayed through the sink, discarded, exported."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from sesacctl.broker.kafka_python.consumer_records import Record
from sesacctl.database.connections import connect
from sesacctl.errors import ConfigurationError, DeadLetterMissing
from sesacctl.events import ORDERS
from sesacctl.pipeline.repair import dead_letters
from sesacctl.pipeline.repair.dead_letters import Filter
from sesacctl.pipeline.sink.store import Sink
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.events import Message, add_parents, batch, message, order, query

TOPIC = uuid4()
NASTY = b'{"x": "[/red]\x1b[31m\xe2\x80\xae \xff\x00'


def refuse(settings: Settings, messages: list[Message]) -> None:
    """Have the sink refuse messages, at the next offsets of one partition."""
    connection = connect(settings, command="test")
    try:
        sink = Sink(connection, group=settings.kafka_group)
        topic = settings.topic(ORDERS)
        seen = sink.begin_partition(topic, (TOPIC, 0), 0)
        found = replace(batch(messages, kind=ORDERS, topic_id=TOPIC, seen=seen), topic=topic)
        sink.store([found])
    finally:
        connection.close()


@pytest.fixture
def conflicts(settings: Settings) -> Iterator[Settings]:
    """Two stored orders, and three refused ones: two conflicts and one that is no event."""
    add_parents(settings)
    wrong = [message(order(n, total_amount=9_999)) for n in (1, 2)]
    refuse(settings, [message(order(1)), message(order(2)), *wrong, (b"u1", NASTY)])
    yield settings


def counters(settings: Settings) -> tuple[int, int, int]:
    [row] = query(settings, "SELECT stored, duplicates, dead FROM sink_offsets")
    return row


def test_list_filters(conflicts: Settings) -> None:
    assert counters(conflicts) == (2, 0, 3)
    assert len(dead_letters.find(conflicts, Filter(), limit=10)) == 3
    assert [d.offset for d in dead_letters.find(conflicts, Filter(reason="conflict"), limit=10)] == [3, 2]
    assert dead_letters.find(conflicts, Filter(topic="users"), limit=10) == []
    assert len(dead_letters.find(conflicts, Filter(), limit=1)) == 1


def test_replay_stores_what_now_fits_and_updates_the_counters(conflicts: Settings) -> None:
    query(conflicts, "DELETE FROM orders WHERE order_id = 'o1'")
    trial = dead_letters.replay(conflicts, Filter(), dry_run=True)
    assert (trial.tried, trial.stored, trial.refused) == (3, 1, {"conflict": 1, "invalid_json": 1})
    assert counters(conflicts) == (2, 0, 3)
    assert query(conflicts, "SELECT count(*) FROM orders") == [(1,)]
    done = dead_letters.replay(conflicts, Filter())
    assert (done.stored, done.duplicates, done.refused) == (1, 0, trial.refused)
    assert counters(conflicts) == (3, 0, 2)
    assert query(conflicts, "SELECT total_amount FROM orders WHERE order_id = 'o1'") == [(9_999,)]
    assert len(dead_letters.find(conflicts, Filter(), limit=10)) == 2


def test_replay_of_stored_events_counts_duplicates(conflicts: Settings) -> None:
    query(conflicts, "UPDATE orders SET total_amount = 9999")
    done = dead_letters.replay(conflicts, Filter(reason="conflict"))
    assert (done.duplicates, done.refused) == (2, {})
    assert counters(conflicts) == (2, 2, 1)


def test_two_replays_at_once_try_every_letter(conflicts: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "_CHUNK", 2)
    query(conflicts, "UPDATE orders SET total_amount = 9999")
    lock = dead_letters._lock

    def lock_after_another(cursor: Any, settings: Settings, ids: Sequence[int]) -> Any:
        monkeypatch.setattr(dead_letters, "_lock", lock)
        assert dead_letters.replay(conflicts, Filter(ids=(ids[1],))).duplicates == 1
        return lock(cursor, settings, ids)

    monkeypatch.setattr(dead_letters, "_lock", lock_after_another)
    done = dead_letters.replay(conflicts, Filter())
    assert (done.tried, done.duplicates, done.refused) == (2, 1, {"invalid_json": 1})
    assert counters(conflicts) == (2, 2, 1)


def test_all_headers_are_kept_shown_and_survive_a_replay(settings: Settings, sesacctl: Cli) -> None:
    """Also where a name is there twice, or a value is not there at all, which is not the same as an empty one."""
    connection = connect(settings, command="test")
    sink = Sink(connection, group=settings.kafka_group)
    found = replace(batch([(b"u1", NASTY)], topic_id=TOPIC), topic=settings.topic(ORDERS))
    [record] = found.records
    assert isinstance(record, Record)
    record.headers = [(b"h", b"1"), (b"h", b"2"), (b"\xff", None), (b"", b"")]
    sink.begin_partition(found.topic, found.key, 0)
    sink.store([found])
    connection.close()
    [letter] = dead_letters.find(settings, Filter(), limit=2)
    kept = [["aA==", "MQ=="], ["aA==", "Mg=="], ["/w==", None], ["", ""]]
    for _ in range(2):
        assert json.loads(sesacctl("dlq", "show", letter.id, "-o", "json").stdout)["headers"] == kept
        assert dead_letters.replay(settings, Filter()).refused == {"invalid_json": 1}
    shown = sesacctl("dlq", "show", letter.id).stdout
    assert all(text in shown for text in ("h: 1", "h: 2", "\\xff: "))


def test_discard_keeps_the_row_and_hides_it(conflicts: Settings) -> None:
    assert dead_letters.discard(conflicts, Filter(reason="conflict")) == 2
    assert len(dead_letters.find(conflicts, Filter(), limit=10)) == 1
    assert query(conflicts, "SELECT count(*) FROM dead_letters") == [(3,)]
    assert counters(conflicts) == (2, 0, 3)


def test_export_holds_the_raw_bytes_and_is_whole_or_not_there(conflicts: Settings, tmp_path: Path) -> None:
    file = tmp_path / "dead.jsonl"
    assert dead_letters.export(conflicts, Filter(), file) == 3
    rows = {row["offset"]: row for row in map(json.loads, file.read_text().splitlines())}
    assert set(rows) == {2, 3, 4}
    assert rows[4]["value_base64"] == "eyJ4IjogIlsvcmVkXRtbMzFt4oCuIP8A"
    with pytest.raises(ConfigurationError):
        dead_letters.export(conflicts, Filter(), tmp_path / "missing" / "dead.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["dead.jsonl"]


@pytest.mark.usefixtures("conflicts")
def test_list_says_when_which_key_and_how_many_by_reason(sesacctl: Cli) -> None:
    page = json.loads(sesacctl("dlq", "list", "-n", "1", "-o", "json").stdout)
    assert (len(page["items"]), page["total"], page["beyond"]) == (1, 3, 2)
    assert page["by_reason"] == {"conflict": 2, "invalid_json": 1}
    assert len(sesacctl("dlq", "list", "-o", "jsonl").stdout.splitlines()) == 3
    shown = " ".join(sesacctl("dlq", "list", COLUMNS="80").stdout.split())
    assert "Dead letters: 3 of 3 shown" in shown
    assert "by reason: conflict 2, invalid_json 1" in shown
    letter = page["items"][0]
    assert letter["key"] == "u1"
    assert f"{letter['created_at'][:10]} {letter['created_at'][11:19]}Z" in sesacctl("dlq", "show", letter["id"]).stdout
    for width in ("40", "80", "120"):
        assert "u1" in sesacctl("dlq", "list", COLUMNS=width).stdout


def test_discarded_ones_can_be_listed_and_exported(conflicts: Settings, sesacctl: Cli) -> None:
    dead_letters.discard(conflicts, Filter(reason="conflict"))
    page = json.loads(sesacctl("dlq", "list", "--discarded", "-o", "json").stdout)
    assert ({each["reason"] for each in page["items"]}, page["total"]) == ({"conflict"}, 2)
    assert len(sesacctl("dlq", "export", "-", "--discarded").stdout.splitlines()) == 2
    assert json.loads(sesacctl("dlq", "list", "-o", "json").stdout)["total"] == 1


def test_export_to_standard_output_has_only_what_is_named(conflicts: Settings, sesacctl: Cli) -> None:
    letters = dead_letters.find(conflicts, Filter(), limit=3)
    done = sesacctl("dlq", "export", "-", "--id", letters[0].id, "--id", letters[2].id)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, [row["id"] for row in rows]) == (0, sorted([letters[0].id, letters[2].id]))
    assert not {"\x1b", "\u202e"} & set(done.stdout)
    assert not (sesacctl.folder / "-").exists()


def test_a_missing_dead_letter_is_an_error(settings: Settings) -> None:
    with pytest.raises(DeadLetterMissing):
        dead_letters.show(settings, 1)


def test_the_commands_show_nasty_values_safely(conflicts: Settings, sesacctl: Cli) -> None:
    [letter] = dead_letters.find(conflicts, Filter(reason="invalid_json"), limit=1)
    shown = sesacctl("dlq", "show", letter.id)
    assert shown.returncode == 0, shown.stderr
    assert "\x1b" not in shown.stdout
    assert "\u202e" not in shown.stdout
    assert "[/red]" in shown.stdout
    assert "h: \\xff" in shown.stdout, "the header, as far as it is text"
    assert json.loads(sesacctl("dlq", "show", letter.id, "-o", "json").stdout)["value_base64"]
    assert "conflict" in sesacctl("dlq", "list").stdout
    again = sesacctl("dlq", "replay", "--all")
    assert (again.returncode, "refused again" in again.stderr) == (5, True)


def test_the_commands_choose(conflicts: Settings, sesacctl: Cli, tmp_path: Path) -> None:
    query(conflicts, "DELETE FROM orders")
    query(conflicts, "UPDATE dead_letters SET created_at = now() - interval '2h' WHERE \"offset\" = 2")
    listed = json.loads(sesacctl("dlq", "list", "--since", "1h", "-o", "json").stdout)["items"]
    assert [letter["offset"] for letter in listed] == [3, 4]
    file = tmp_path / "dead.jsonl"
    assert "2 dead letters written" in sesacctl("dlq", "export", file, "--since", "1h").stderr
    assert len(file.read_text().splitlines()) == 2
    trial = json.loads(sesacctl("dlq", "replay", "--reason", "conflict", "--dry-run", "-o", "json").stdout)
    assert (trial["dry_run"], trial["stored"]) == (True, 2)
    done = json.loads(sesacctl("dlq", "replay", "--id", listed[0]["id"], "-o", "json").stdout)
    assert (done["tried"], done["stored"]) == (1, 1)
    assert counters(conflicts) == (3, 0, 2)


def test_the_commands_ask_before_they_change_anything(conflicts: Settings, sesacctl: Cli) -> None:
    assert sesacctl("dlq", "replay").returncode == 2
    assert sesacctl("dlq", "discard", "--all").returncode == 2
    assert counters(conflicts) == (2, 0, 3)
    assert sesacctl("dlq", "discard", "--all", "--yes").returncode == 0
    assert dead_letters.find(conflicts, Filter(), limit=10) == []
    assert sesacctl("dlq", "list", "--reason", "nonsense").returncode == 2
