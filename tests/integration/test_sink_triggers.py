"""Functions of the user's own that fail: on one record, which is a dead letter, or on every row, which is a stop."""

from __future__ import annotations

import json
from collections.abc import Iterator

import psycopg2
import pytest

from sesacctl.database.connections import to_sesacctl_error
from sesacctl.errors import ServerRefused
from sesacctl.events import ORDERS, USERS
from sesacctl.pipeline.audit.row_counts import count_rows
from sesacctl.pipeline.consume import postgres_link
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.pipeline.supervise import prerequisites
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import running, store_all
from tests.helpers.events import Message, add_parents, many_orders, message, order, query, send, user
from tests.helpers.rig import Rig
from tests.helpers.topics import make_topics
from tests.helpers.waiting import wait_until


@pytest.fixture
def rig(settings: Settings) -> Iterator[Rig]:
    add_parents(settings, users=100)
    query(
        settings,
        "CREATE TABLE order_log (order_id text PRIMARY KEY, note text, owner text REFERENCES users,"
        " CHECK (note <> 'never'))",
    )
    found = Rig(settings)
    yield found
    found.connection.close()


def trigger(rig: Rig, body: str, *, when: str = "AFTER", table: str = ORDERS, condition: str = "true") -> None:
    """A trigger that runs `body` for rows that meet the condition."""
    query(
        rig.settings,
        f"CREATE FUNCTION log_order() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF {condition} THEN {body}; END IF; RETURN NEW; END $$;"
        f" CREATE TRIGGER own {when} INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION log_order()",
    )


def details(rig: Rig) -> list[str]:
    return [row[0] for row in query(rig.settings, "SELECT detail FROM dead_letters ORDER BY id")]


def with_one(found: Message) -> list[Message]:
    return [*many_orders(6), found, *many_orders(6)]


ODD = message(order(7, quantity=7))
IS_ODD = "NEW.quantity = 7"
# What a trigger does, and the SQLSTATE of it.
BROKEN = {
    "23505": "INSERT INTO order_log VALUES ('always')",
    "23502": "INSERT INTO order_log VALUES (NULL)",
    "23503": "INSERT INTO order_log (order_id, owner) VALUES (NEW.order_id, 'nobody')",
    "23514": "INSERT INTO order_log VALUES (NEW.order_id, 'never')",
    "42P01": "INSERT INTO no_such_log VALUES (NEW.order_id)",
    "42703": "INSERT INTO order_log (no_such_column) VALUES (1)",
    "42883": "PERFORM no_such_function(NEW.order_id)",
    "22P02": "INSERT INTO order_log VALUES (NEW.order_id, 'x'::integer::text)",
    "XX000": "RAISE SQLSTATE 'XX000' USING MESSAGE = 'cache lookup failed for relation 16384'",
    "0A000": "RAISE SQLSTATE '0A000' USING MESSAGE = 'not built in'",
}


@pytest.mark.parametrize("code", ["P0001", "P0004", "38000", "39000", "44000", "23P01", "22012"])
def test_a_trigger_refusal_keeps_its_code_message_and_context(rig: Rig, code: str) -> None:
    trigger(rig, f"RAISE SQLSTATE '{code}' USING MESSAGE = '품절: ' || NEW.order_id", condition=IS_ODD)
    assert rig.store(with_one(ODD)) == Counts(stored=12, dead=1)
    [detail] = details(rig)
    assert detail.startswith(f"SQLSTATE {code}: 품절: o7\n")
    assert "CONTEXT: PL/pgSQL function log_order() line 1 at RAISE" in detail


def test_records_all_refused_by_a_trigger_are_dead_letters(rig: Rig) -> None:
    trigger(rig, "RAISE 'sold out'")
    assert rig.store(many_orders(3)) == Counts(dead=3)


@pytest.mark.parametrize("code", BROKEN)
def test_a_trigger_failing_on_one_record_makes_it_a_dead_letter(rig: Rig, code: str) -> None:
    query(rig.settings, "INSERT INTO order_log VALUES ('always')")
    trigger(rig, BROKEN[code], condition=IS_ODD)
    assert rig.store(with_one(ODD)) == Counts(stored=12, dead=1)
    [detail] = details(rig)
    assert detail.startswith(f"SQLSTATE {code}: ")
    assert "function log_order()" in detail
    assert rig.count("parked_events") == 0


@pytest.mark.parametrize("code", BROKEN)
def test_a_trigger_failing_on_every_row_stops_and_is_named(rig: Rig, code: str) -> None:
    rig.store(many_orders(1))
    query(rig.settings, "INSERT INTO order_log VALUES ('always')")
    trigger(rig, BROKEN[code])
    orders = many_orders(13)
    with pytest.raises(psycopg2.Error):
        rig.store(orders[:1])
    with pytest.raises(psycopg2.Error) as caught:
        rig.store(orders)
    ours = to_sesacctl_error(caught.value, rig.settings)
    assert type(ours) is ServerRefused
    assert (ours.exit_code, ours.retriable) == (4, False)
    assert "log_order" in str(ours)
    assert f"SQLSTATE {code}" in str(ours)
    assert "log_order" in str(ours.hint)
    assert "migrate" not in str(ours.hint)
    assert rig.count("dead_letters") == rig.count("parked_events") == 0
    query(rig.settings, "DROP TRIGGER own ON orders")
    assert rig.store(orders) == Counts(stored=13)


def test_a_trigger_failing_on_most_orders_makes_no_dead_letters(rig: Rig) -> None:
    trigger(rig, BROKEN["42P01"], condition="NEW.quantity = 1")
    with pytest.raises(psycopg2.errors.UndefinedTable):
        rig.store([*many_orders(13), ODD])
    assert rig.count("dead_letters") == 0


def test_a_trigger_failing_on_the_first_order_stops(rig: Rig) -> None:
    trigger(rig, BROKEN["23502"], when="BEFORE")
    with pytest.raises(psycopg2.errors.NotNullViolation) as caught:
        rig.store(many_orders(1))
    assert "order_log" in str(to_sesacctl_error(caught.value, rig.settings))


def test_a_lone_failure_is_a_dead_letter_if_others_passed(rig: Rig) -> None:
    rig.store(many_orders(1))
    trigger(rig, BROKEN["42P01"], condition=IS_ODD)
    assert rig.store([ODD]) == Counts(dead=1)
    assert rig.count("orders") == 1


def test_other_kinds_have_triggers_too(rig: Rig) -> None:
    trigger(rig, "INSERT INTO order_log VALUES (NEW.name)", table=USERS)
    names = enumerate(("가", "나", "가", "다"), 901)
    assert rig.store([message(user(n, name=name)) for n, name in names], kind=USERS) == Counts(stored=3, dead=1)
    assert "TABLE: order_log" in details(rig)[0]


def test_an_exclusion_constraint_refuses_one_record(rig: Rig) -> None:
    query(rig.settings, "ALTER TABLE orders ADD CONSTRAINT apart EXCLUDE USING btree (total_amount WITH =)")
    assert rig.store([message(order(n, total_amount=n)) for n in (1, 2)]) == Counts(stored=2)
    assert rig.store([message(order(n, total_amount=m)) for n, m in ((3, 3), (4, 1), (5, 5))]) == Counts(
        stored=2, dead=1
    )
    assert "apart" in details(rig)[0]


def test_rights_that_a_trigger_lacks_are_a_stop(rig: Rig) -> None:
    trigger(rig, "RAISE SQLSTATE '42501' USING MESSAGE = 'permission denied for table order_log'", condition=IS_ODD)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        rig.store(with_one(ODD))
    assert rig.count("dead_letters") == 0


def test_dlq_shows_the_context_on_one_line_of_a_terminal(rig: Rig, sesacctl: Cli) -> None:
    trigger(rig, "RAISE 'sold out'", condition=IS_ODD)
    rig.store([ODD])
    [(number, detail)] = query(rig.settings, "SELECT id, detail FROM dead_letters")
    shown = sesacctl("dlq", "show", number, COLUMNS="400").stdout
    assert "SQLSTATE P0001: sold out\\nCONTEXT: PL/pgSQL function log_order() line 1 at RAISE" in shown
    assert json.loads(sesacctl("dlq", "show", number, "-o", "json").stdout)["detail"] == detail


def test_consume_names_a_broken_trigger_and_resumes_once_fixed(rig: Rig, sesacctl: Cli) -> None:
    make_topics(rig.settings)
    trigger(rig, BROKEN["42P01"])
    send(rig.settings, ORDERS, many_orders(30))
    done = sesacctl("consume", "-n", 2, "--until-empty")
    assert done.returncode == 4, done.stderr
    assert "function log_order" in done.stderr
    assert "no_such_log" in done.stderr
    assert "next:  fix function log_order, or drop the trigger" in done.stderr
    assert "db migrate" not in done.stderr
    assert rig.count("dead_letters") == rig.count("orders") == 0
    query(rig.settings, "CREATE TABLE no_such_log (order_id text)")
    assert sesacctl("consume", "-n", 2, "--until-empty").returncode == 0
    assert rig.count("orders") == rig.count("no_such_log") == 30


STATES = {
    "55000": "PERFORM * FROM never_filled",
    "55006": "RAISE SQLSTATE '55006' USING MESSAGE = 'is being used'",
    "25006": "RAISE SQLSTATE '25006' USING MESSAGE = 'cannot execute INSERT in a read-only transaction'",
    "25001": "RAISE SQLSTATE '25001' USING MESSAGE = 'cannot run inside a transaction block'",
}


@pytest.mark.parametrize("code", STATES)
def test_a_triggers_state_error_is_not_taken_for_the_servers(rig: Rig, code: str) -> None:
    query(rig.settings, "CREATE MATERIALIZED VIEW never_filled AS SELECT 1 WITH NO DATA")
    trigger(rig, STATES[code], condition=IS_ODD)
    assert rig.store(with_one(ODD)) == Counts(stored=12, dead=1)
    assert details(rig)[0].startswith(f"SQLSTATE {code}: ")
    with pytest.raises(psycopg2.Error) as caught:
        rig.store([message(order(n, quantity=7)) for n in range(20, 24)])
    ours = to_sesacctl_error(caught.value, rig.settings)
    assert type(ours) is ServerRefused
    assert "function log_order()" in str(ours)


def test_a_triggers_lock_is_waited_for_within_a_limit(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    make_topics(rig.settings)
    trigger(rig, "RAISE SQLSTATE '55P03' USING MESSAGE = 'could not obtain lock'", condition="NEW.quantity = 7")
    monkeypatch.setattr(postgres_link, "BROKEN_SECONDS", 2.0)
    odd = [message(order(n, quantity=7)) for n in range(3)]
    with pytest.raises(AssertionError, match="function log_order"), running(rig.settings) as found:
        send(rig.settings, ORDERS, odd)
        wait_until(lambda: found.instance._postgres._broken_since, message="it does not wait")
        wait_until(lambda: found.errors, message="it waits for ever")
    assert rig.count("dead_letters") == 0
    query(rig.settings, "DROP TRIGGER own ON orders")
    store_all(rig.settings)
    assert rig.count("orders") == 3


DEFERRED = "CREATE CONSTRAINT TRIGGER own AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED FOR EACH ROW"


def deferred(rig: Rig, condition: str) -> None:
    query(
        rig.settings,
        "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF {condition} THEN RAISE 'too late'; END IF; RETURN NEW; END $$; {DEFERRED} EXECUTE FUNCTION late()",
    )


def test_an_error_raised_at_commit_is_traced_to_its_record(rig: Rig) -> None:
    deferred(rig, IS_ODD)
    assert rig.store(with_one(ODD)) == Counts(stored=12, dead=1)
    assert "too late" in details(rig)[0]
    assert rig.count("orders") == 12


def test_a_parked_order_refused_at_commit_is_a_dead_letter(rig: Rig) -> None:
    assert rig.store([message(order(7, quantity=7, user_id="later"))]) == Counts(parked=1)
    deferred(rig, IS_ODD)
    query(rig.settings, "INSERT INTO users (user_id, name) VALUES ('later', '홍길동')")
    assert rig.retry() == Counts(parked=-1, dead=1)
    assert "too late" in details(rig)[0]


def test_a_deferred_unique_constraint_causes_a_conflict(rig: Rig) -> None:
    query(rig.settings, "ALTER TABLE orders ADD CONSTRAINT once UNIQUE (total_amount) DEFERRABLE INITIALLY DEFERRED")
    assert rig.store([message(order(n, total_amount=n)) for n in (1, 2)]) == Counts(stored=2)
    mixed = [message(order(n, total_amount=m)) for n, m in ((3, 3), (4, 1), (5, 5))]
    assert rig.store(mixed) == Counts(stored=2, dead=1)
    assert query(rig.settings, "SELECT reason FROM dead_letters") == [("conflict",)]
    assert "once" in details(rig)[0]


@pytest.mark.parametrize("when", ["BEFORE", "AFTER"])
def test_a_row_that_a_trigger_drops_is_never_counted_as_stored(rig: Rig, when: str) -> None:
    if when == "BEFORE":
        body = f"IF {IS_ODD} THEN RETURN NULL; END IF; RETURN NEW;"
        query(rig.settings, f"CREATE FUNCTION drop_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$")
        query(rig.settings, "CREATE TRIGGER own BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION drop_it()")
        assert rig.store(with_one(ODD)) == Counts(stored=12, dead=1)
        assert "dropped the row" in details(rig)[0]
        assert rig.store([ODD, ODD]) == Counts(dead=2)
    else:
        trigger(rig, "DELETE FROM orders WHERE order_id = NEW.order_id", condition=IS_ODD)
        rig.store(with_one(ODD))
        expected, _ = count_rows(rig.settings)
        assert expected["orders"].rows == 12


@pytest.mark.parametrize("rule", ["INSTEAD NOTHING", "ALSO INSERT INTO order_log VALUES (NEW.order_id)"])
def test_a_rule_is_named_before_it_can_drop_a_row(rig: Rig, rule: str) -> None:
    query(rig.settings, f"CREATE RULE mine AS ON INSERT TO orders DO {rule}")
    orders = many_orders(3)
    with pytest.raises(ServerRefused, match="mine on orders") as caught:
        prerequisites.require(rig.settings)
    assert "DROP RULE mine ON orders".lower() in str(caught.value.hint).lower()
    assert rig.store(orders) == Counts(stored=3)  # COPY passes rules
    assert rig.count("orders") == 3
    with pytest.raises(ServerRefused, match="mine on orders"):
        rig.store(orders)
    query(rig.settings, "DROP RULE mine ON orders")
    assert rig.store(orders) == Counts(duplicates=3)


def test_a_replay_through_a_broken_trigger_loses_nothing(rig: Rig, sesacctl: Cli) -> None:
    query(rig.settings, "ALTER TABLE orders ADD CONSTRAINT few CHECK (quantity < 7)")
    rig.store([ODD, message(order(8, quantity=8))])
    query(rig.settings, "ALTER TABLE orders DROP CONSTRAINT few")
    trigger(rig, BROKEN["42P01"])
    before = query(rig.settings, "SELECT id, reason, detail FROM dead_letters ORDER BY id")
    counters = query(rig.settings, "SELECT stored, dead FROM sink_offsets")
    assert len(before) == 2
    done = sesacctl("dlq", "replay", "--all", KAFKA_TOPIC_PREFIX="")
    assert done.returncode == 4, done.stdout
    assert "next:  fix function log_order, or drop the trigger" in done.stderr
    assert query(rig.settings, "SELECT id, reason, detail FROM dead_letters ORDER BY id") == before
    assert query(rig.settings, "SELECT stored, dead FROM sink_offsets") == counters
    query(rig.settings, "DROP TRIGGER own ON orders")
    assert sesacctl("dlq", "replay", "--all", KAFKA_TOPIC_PREFIX="").returncode == 0
    assert (rig.count("orders"), rig.count("dead_letters")) == (2, 0)
