"""`dlq replay --patch`: what a person repairs is stored, its original bytes stay, and every audit knows of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sesacctl.events import ORDERS
from sesacctl.pipeline.audit.report import AuditResult, audit
from sesacctl.pipeline.repair import dead_letters, reset_offsets
from sesacctl.pipeline.repair.dead_letters import Filter
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import counters, sell, store_all
from tests.helpers.events import Message, message, order, query

RIGHT: dict[str, Any] = {"order": {"quantity": 2}}


def wrong(number: int, **values: Any) -> Message:
    """An order whose quantity is text."""
    document = json.loads(message(order(number))[1] or b"")
    document["order"] |= {"quantity": "two"} | values
    return b"u1", json.dumps(document).encode()


@pytest.fixture
def shop(settings: Settings) -> Settings:
    """One stored order, o0; dead letters: o1 and o2 with a quantity that is text, and one that is not JSON."""
    sell(settings, [message(order(0)), wrong(1), wrong(2), (b"u1", b"no JSON")])
    return settings


def letter_id(settings: Settings, offset: int) -> int:
    return int(query(settings, 'SELECT id FROM dead_letters WHERE "offset" = %s', offset)[0][0])


def audited(settings: Settings) -> AuditResult:
    found = audit(settings, values=True)
    assert found.deep is not None
    return found


def test_a_patched_order_is_stored_and_its_bytes_stay(shop: Settings, sesacctl: Cli) -> None:
    one = letter_id(shop, 1)
    raw = query(shop, "SELECT key, value, headers FROM dead_letters WHERE id = %s", one)[0]
    (sesacctl.folder / "fix.json").write_text(json.dumps(RIGHT))
    trial = sesacctl("dlq", "replay", "--id", one, "--patch", "fix.json", "--dry-run", "-o", "json")
    assert (trial.returncode, json.loads(trial.stdout)["stored"], counters(shop)) == (0, 1, (1, 0, 3))
    done = sesacctl("dlq", "replay", "--id", one, "--patch", "fix.json", "-o", "json")
    assert (done.returncode, json.loads(done.stdout)["stored"]) == (0, 1), done.stderr
    assert query(shop, "SELECT quantity FROM orders WHERE order_id = 'o1'") == [(2,)]
    assert counters(shop) == (2, 0, 2)
    kept = query(shop, "SELECT key, value, headers FROM dead_letters WHERE id = %s", one)[0]
    assert [bytes(each) for each in kept[:2]] == [bytes(each) for each in raw[:2]]
    letter = dead_letters.show(shop, one)
    assert (letter.patch, letter.reason) == (RIGHT, "invalid_field")
    assert letter.patched_at
    assert one not in {each.id for each in dead_letters.find(shop, Filter(), limit=10)}
    listed = json.loads(sesacctl("dlq", "list", "--discarded", "-o", "json").stdout)
    assert [(each["id"], each["patch"]) for each in listed["items"]] == [(one, RIGHT)]
    shown = " ".join(sesacctl("dlq", "show", one).stdout.split())
    assert '{"order": {"quantity": 2}}' in shown


def test_audits_hold_the_row_against_the_patched_event(shop: Settings) -> None:
    dead_letters.replay(shop, Filter(ids=(letter_id(shop, 1),)), patch=RIGHT)
    found = audited(shop)
    assert found.ok, found
    assert found.deep is not None
    assert (found.deep.read, found.deep.found, found.deep.patched, found.deep.kept) == (6, 4, 1, 2)
    query(shop, "UPDATE orders SET quantity = 9 WHERE order_id = 'o1'")
    changed = audited(shop)
    assert changed.deep is not None
    [different] = changed.deep.named_different
    assert (changed.ok, different.id, different.expected, different.found) == (False, "o1", 2, 9)
    query(shop, "DELETE FROM orders WHERE order_id = 'o1'")
    gone = audited(shop)
    assert gone.deep is not None
    assert (gone.ok, gone.deep.missing, [each.id for each in gone.deep.named]) == (False, 1, ["o1"])


def test_a_patch_that_makes_it_refused_again_changes_nothing(shop: Settings, sesacctl: Cli) -> None:
    before = query(shop, "SELECT id, reason, detail, discarded_at, patch FROM dead_letters ORDER BY id")
    (sesacctl.folder / "worse.json").write_text('{"order": {"quantity": -1}}')
    done = sesacctl("dlq", "replay", "--all", "--patch", "worse.json", "-o", "json")
    assert (done.returncode, "3 were refused again" in done.stderr) == (5, True)
    result = json.loads(done.stdout)
    assert result["refused"] == {"invalid_field": 2, "invalid_json": 1}
    assert [each["detail"] for each in result["named"]][2] == "a patch needs a value that is JSON"
    assert query(shop, "SELECT id, reason, detail, discarded_at, patch FROM dead_letters ORDER BY id") == before
    orphan = dead_letters.replay(shop, Filter(), patch=RIGHT | {"order": {"quantity": 1, "user_id": "u9"}})
    assert (orphan.stored, orphan.refused) == (0, {"orphan": 2, "invalid_json": 1})
    assert (counters(shop), audited(shop).ok) == ((1, 0, 3), True)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "fix.json cannot be read"), ("[1]", "fix.json: it is not a JSON object"), ("{", "it is not a JSON object")],
)
def test_an_unreadable_patch_is_named(shop: Settings, sesacctl: Cli, content: str | None, said: str) -> None:
    if content is not None:
        (sesacctl.folder / "fix.json").write_text(content)
    done = sesacctl("dlq", "replay", "--all", "--patch", "fix.json")
    assert (done.returncode, said in done.stderr, counters(shop)) == (2, True, (1, 0, 3)), done.stderr


def test_a_patch_comes_from_standard_input_too(shop: Settings, sesacctl: Cli) -> None:
    done = sesacctl("dlq", "replay", "--reason", "invalid_field", "--patch", "-", input=json.dumps(RIGHT))
    assert done.returncode == 0, done.stderr
    assert counters(shop) == (3, 0, 1)


def test_the_same_patch_again_is_a_duplicate_and_counted_once(shop: Settings) -> None:
    one = Filter(ids=(letter_id(shop, 1),))
    assert dead_letters.replay(shop, one, patch=RIGHT).stored == 1
    again = dead_letters.replay(shop, one, patch=RIGHT)
    assert (again.duplicates, counters(shop), audited(shop).ok) == (1, (2, 0, 2), True)


def test_a_patched_record_that_is_read_again_is_dead_again(shop: Settings) -> None:
    dead_letters.replay(shop, Filter(reason="invalid_field"), patch=RIGHT)
    reset_offsets.move(shop, reset_offsets.plan(shop, (ORDERS,), "earliest"))
    store_all(shop)
    assert counters(shop) == (0, 1, 3)
    letters = dead_letters.find(shop, Filter(reason="invalid_field"), limit=9)
    assert [(each.patch, each.patched_at) for each in letters] == [(RIGHT, None)] * 2
    found = audited(shop)
    assert found.deep is not None
    assert (found.ok, found.deep.patched, found.deep.kept) == (True, 0, 3)
    assert dead_letters.replay(shop, Filter(reason="invalid_field"), patch=RIGHT).duplicates == 2
    assert (counters(shop), audited(shop).ok) == ((0, 3, 1), True)


def test_another_record_at_the_position_is_not_the_patched_one(shop: Settings) -> None:
    """After a log was cut, a record may be where another one was patched."""
    dead_letters.replay(shop, Filter(ids=(letter_id(shop, 1),)), patch=RIGHT)
    query(shop, "UPDATE dead_letters SET value = value || '\\x20' WHERE \"offset\" = 1")
    found = audited(shop)
    assert found.deep is not None
    assert (found.deep.patched, found.deep.missing) == (0, 1)


def test_a_downgrade_leaves_patched_letters_resolved(shop: Settings, sesacctl: Cli) -> None:
    dead_letters.replay(shop, Filter(reason="invalid_field"), patch=RIGHT)
    assert sesacctl("db", "downgrade", "0006", "--yes").returncode == 0
    assert query(shop, "SELECT count(*) FROM dead_letters WHERE discarded_at IS NULL") == [(1,)]
    assert sesacctl("db", "migrate", "--yes").returncode == 0
    assert (audit(shop).ok, counters(shop)) == (True, (3, 0, 1))
