"""`audit`, `lag` and `consume --from` against the real servers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from sesacctl.errors import UsageError
from sesacctl.events import ORDERS, USERS
from sesacctl.pipeline.audit import deep as deep_audit
from sesacctl.pipeline.audit import kept
from sesacctl.pipeline.audit.partitions import read_partitions
from sesacctl.pipeline.audit.report import audit
from sesacctl.pipeline.produce.ledger import Ledger
from sesacctl.pipeline.repair import reset_offsets
from sesacctl.pipeline.watch.lag import LagMeter, LagVerdict
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import store_all
from tests.helpers.events import add_parents, many_orders, message, order, query, send
from tests.helpers.topics import make_topics


@pytest.fixture
def consumed(settings: Settings) -> Settings:
    """500 stored orders, one dead letter and one parked order."""
    make_topics(settings)
    add_parents(settings, users=100)
    send(settings, ORDERS, [*many_orders(500), (b"u1", b"{}"), message(order(1, user_id="u900"))])
    store_all(settings)
    return settings


@pytest.mark.usefixtures("consumed")
def test_a_deep_audit_finds_every_event(sesacctl: Cli) -> None:
    done = sesacctl("audit", "--deep", "-o", "json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["taken"], result["missing"], result["lag"]) == (502, 0, 0)
    deep = result["deep"]
    assert (deep["read"], deep["found"], deep["kept"], deep["missing"], deep["expired"]) == (502, 500, 2, 0, 0)
    assert "nothing that was consumed is lost" in sesacctl("audit", "--deep").stdout


def test_a_deep_audit_names_what_is_in_no_table(consumed: Settings, sesacctl: Cli) -> None:
    [(lost,)] = query(
        consumed, "DELETE FROM orders WHERE order_id = (SELECT max(order_id) FROM orders) RETURNING order_id"
    )
    query(consumed, "DELETE FROM dead_letters")
    done = sesacctl("audit", "--deep")
    assert done.returncode == 5
    assert lost in done.stdout
    assert "(cannot be decoded)" in done.stdout


def test_deep_audit_allows_a_parked_order_stored_meanwhile(consumed: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    kept_offsets, rows = kept.kept_offsets, deep_audit._rows

    def then_store(looked: Any) -> Any:
        """An audit's look, and what a consumer does right after it."""

        def look(cursor: Any, *arguments: Any) -> Any:
            found = looked(cursor, *arguments)
            query(consumed, "INSERT INTO users (user_id, name) VALUES ('u900', '홍길동') ON CONFLICT DO NOTHING")
            query(
                consumed,
                "INSERT INTO orders (order_id, user_id, product_id, quantity, total_amount)"
                " SELECT 'o1', 'u900', 'p1', 1, 1000 ON CONFLICT DO NOTHING; DELETE FROM parked_events",
            )
            return found

        return look

    monkeypatch.setattr(deep_audit, "kept_offsets", then_store(kept_offsets))
    monkeypatch.setattr(deep_audit, "_rows", then_store(rows))
    [partition] = [part for part in read_partitions(consumed) if part.counts.parked]
    result = deep_audit.deep_audit(consumed, [partition])
    assert (result.read, result.missing) == (partition.taken, 0)


@pytest.mark.parametrize("table", ["dead_letters", "parked_events"])
@pytest.mark.parametrize(
    "change", ["value = 'another'", "value = NULL", "key = 'u2'", """headers = '[["aA==", null]]'"""]
)
def test_deep_audit_misses_a_record_replaced_at_its_position(consumed: Settings, table: str, change: str) -> None:
    query(consumed, f"UPDATE {table} SET {change}")
    partitions = [part for part in read_partitions(consumed) if part.counts.dead or part.counts.parked]
    result = deep_audit.deep_audit(consumed, partitions)
    assert (result.kept, result.missing) == (1, 1)


def test_a_record_is_found_among_those_of_earlier_logs(consumed: Settings) -> None:
    columns = 'consumer_group, topic, topic_id, partition, "offset", key, headers, record_time, detail'
    others = (
        f"SELECT {columns}, ('another' || n)::bytea FROM dead_letters, generate_series(1, 9) n WHERE value = '{{}}'"
    )
    query(consumed, f"INSERT INTO parked_events ({columns}, value) {others}")
    query(consumed, f"INSERT INTO dead_letters ({columns}, value, reason) SELECT *, 'conflict' FROM ({others}) o")
    result = deep_audit.deep_audit(consumed, read_partitions(consumed))
    assert (result.kept, result.missing) == (2, 0)


def test_a_letter_of_another_topic_id_proves_nothing(consumed: Settings) -> None:
    """A topic that was created again has the same positions, and may have had the same bytes there."""
    query(consumed, "UPDATE dead_letters SET topic_id = gen_random_uuid()")
    query(consumed, "UPDATE parked_events SET topic_id = gen_random_uuid()")
    result = deep_audit.deep_audit(consumed, read_partitions(consumed))
    assert (result.kept, result.missing) == (0, 2)


def test_null_and_empty_are_kept_byte_for_byte(consumed: Settings) -> None:
    send(consumed, ORDERS, [(b"\xff", None), (None, b""), (b"", b"\xff")], partition=0)
    store_all(consumed)
    result = deep_audit.deep_audit(consumed, read_partitions(consumed))
    assert (result.kept, result.missing) == (5, 0)
    query(consumed, "UPDATE dead_letters SET key = '' WHERE key IS NULL")
    query(consumed, "UPDATE dead_letters SET value = '' WHERE value IS NULL")
    assert deep_audit.deep_audit(consumed, read_partitions(consumed)).missing == 2


def test_headers_are_kept_byte_for_byte(consumed: Settings) -> None:
    producer = KafkaProducer(bootstrap_servers=consumed.brokers)
    producer.send(consumed.topic(ORDERS), b"{}", key=b"u1", headers=[("h", b"\xff"), ("h", b"")])
    producer.close()
    store_all(consumed)
    result = deep_audit.deep_audit(consumed, read_partitions(consumed))
    assert (result.kept, result.missing) == (3, 0)


def test_records_that_expire_during_a_deep_audit_are_counted(consumed: Settings) -> None:
    partitions = read_partitions(consumed)
    taken = {part.partition: part.taken for part in partitions if part.kind == ORDERS}
    admin = KafkaAdminClient(bootstrap_servers=consumed.brokers)
    admin.delete_records({TopicPartition(consumed.topic(ORDERS), 0): 3, TopicPartition(consumed.topic(ORDERS), 1): -1})
    admin.close()
    result = deep_audit.deep_audit(consumed, partitions)
    assert (result.expired, result.read, result.missing) == (3 + taken[1], 502 - 3 - taken[1], 0)


def test_audit_and_consume_report_a_cut_log(consumed: Settings, sesacctl: Cli) -> None:
    query(consumed, "UPDATE sink_offsets SET next_offset = next_offset + 5, epoch_offset = next_offset + 5,"
          " stored = stored + 5 WHERE partition = 0 AND topic LIKE '%orders'")  # fmt: skip
    done = sesacctl("audit", "--deep", "-o", "json", timeout=60)
    assert (done.returncode, json.loads(done.stdout)["deep"]["cut"]) == (5, 5)
    assert "is not the one that was stored up to offset" in done.stderr
    done = sesacctl("consume", "-n", 1)
    assert done.returncode == 5, done.stderr
    assert "is not the one that was stored up to offset" in done.stderr


def test_audit_by_counts_finds_an_unaccounted_offset(consumed: Settings, sesacctl: Cli) -> None:
    query(consumed, "UPDATE sink_offsets SET stored = stored - 1 WHERE stored > 0 AND partition = 0")
    done = sesacctl("audit", "-o", "json")
    assert (done.returncode, json.loads(done.stdout)["missing"]) == (5, 1)


def test_a_surplus_offset_does_not_hide_a_missing_one(consumed: Settings, sesacctl: Cli) -> None:
    some = "UPDATE sink_offsets SET stored = stored + %s WHERE stored > 1 AND partition = %s AND topic LIKE '%%orders'"
    query(consumed, some, 1, 0)
    query(consumed, some, -1, 1)
    done = sesacctl("audit", "-o", "json")
    assert (done.returncode, json.loads(done.stdout)["missing"]) == (5, 2)
    assert "2 offsets are not accounted for" in done.stderr
    assert re.search(r"│ missing +│ +2 │ +0 │ +0 │ +2 │", sesacctl("audit").stdout)


def test_an_audit_sees_a_row_stored_twice(consumed: Settings) -> None:
    query(consumed, "ALTER TABLE orders DROP CONSTRAINT orders_pkey")
    query(consumed, "INSERT INTO orders SELECT * FROM orders ORDER BY order_id LIMIT 1")
    assert (audit(consumed).ok, audit(consumed).duplicated) == (False, 1)


def test_lag_counts_what_is_not_stored_and_calls_it_stalled(consumed: Settings, sesacctl: Cli) -> None:
    send(consumed, ORDERS, many_orders(30))
    report = json.loads(sesacctl("lag", "--window", "1s", "-o", "json").stdout)
    assert (report["lag"], report["verdict"], report["drain_seconds"]) == (30, "stalled", None)
    assert sum(part["log_end"] - (part["next"] or 0) for part in report["partitions"]) == 30


def test_the_verdict_on_a_lag_that_grows_or_shrinks(consumed: Settings) -> None:
    meter = LagMeter(consumed, window=60, first=1)
    send(consumed, ORDERS, many_orders(40), partition=0)

    def meanwhile(_seconds: float, *, produced: int = 30, stored: int = 10) -> None:
        """What a slow consumer does."""
        send(consumed, ORDERS, many_orders(produced), partition=0)
        query(consumed, "UPDATE sink_offsets SET next_offset = next_offset + %s, epoch_offset = next_offset + %s,"
              " stored = stored + %s WHERE partition = 0 AND topic LIKE '%%orders'", *[stored] * 3)  # fmt: skip

    report = meter.read(meanwhile)
    assert (report.verdict, report.lag, report.drain_seconds) == (LagVerdict.GROWING, 60, None)
    [part] = [part for part in report.partitions if part.lag]
    assert part.kafka_offset == (part.next or 0) - 10, "Kafka knows what the consumer had told it before"
    meanwhile(0, produced=1, stored=50)
    report = meter.read(meanwhile)
    assert (report.verdict, report.lag) == (LagVerdict.OK, 11)
    assert report.drain_seconds


def test_consuming_from_the_start_again_only_adds_duplicates(consumed: Settings, sesacctl: Cli) -> None:
    assert sesacctl("consume", "-n", 1, "--until-empty", "--from", "earliest").returncode == 2, "it asks first"
    done = sesacctl("consume", "-n", 1, "--until-empty", "--from", "earliest", "--yes", "-o", "json")
    assert done.returncode == 0, done.stderr
    totals = json.loads(done.stdout)["totals"]
    assert (totals["stored"], totals["duplicates"], totals["dead"], totals["parked"]) == (0, 500, 1, 1)
    assert audit(consumed, deep=True).ok
    assert query(consumed, "SELECT count(*) FROM orders") == [(500,)]


def test_where_a_start_is(consumed: Settings) -> None:
    def after(start: str) -> set[int]:
        return {found.after for found in reset_offsets.plan(consumed, (ORDERS,), start)}

    assert after("earliest") == {0}
    assert after("latest") == set(), "everything is stored: nothing moves"
    assert after("3") == {3}
    assert after("2000-01-01") == {0}
    assert after("1969-12-31T23:59:59.999+00:00") == {0}, "which is -1 ms, and would be the latest for Kafka"
    assert after("-1h") == {0}
    assert after("yesterday 20:00") == {0}
    assert reset_offsets.plan(consumed, (USERS,), "earliest") == []
    for nowhere in ("2999-01-01T00:00:00+09:00", "noon"):
        with pytest.raises(UsageError):
            reset_offsets.plan(consumed, (ORDERS,), nowhere)


def test_only_the_wanted_topics_are_consumed(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    send(settings, ORDERS, many_orders(10))
    done = sesacctl("consume", "-n", 1, "--until-empty", "--topics", "users,products", "-o", "json")
    assert (done.returncode, json.loads(done.stdout)["events"]) == (0, 0)
    assert sesacctl("consume", "--topics", "users,payments").returncode == 2


def test_a_ledger_is_held_against_the_tables(consumed: Settings, sesacctl: Cli, tmp_path: Path) -> None:
    stored = [name for (name,) in query(consumed, "SELECT order_id FROM orders ORDER BY 1 LIMIT 3")]
    ledger = Ledger(tmp_path / "l.jsonl")
    ledger.intend(ORDERS, [*stored, "sent-only"])
    ledger.acknowledge(ORDERS, stored[:2])
    ledger.close()
    done = sesacctl("audit", "--ledger", tmp_path / "l.jsonl", "-o", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["ledger"]
    assert (found["acknowledged"], found["stored"], found["missing"], found["doubled"]) == (2, 2, 0, 0)
    assert (found["unacknowledged"], found["unacknowledged_stored"]) == (2, 1)
    assert found["unknown"] == 497, "other producers' orders, or a fault: only the one who has all ledgers can tell"
    query(consumed, "DELETE FROM orders WHERE order_id = %s", stored[0])
    done = sesacctl("audit", "--ledger", tmp_path / "l.jsonl")
    assert done.returncode == 5
    assert stored[0] in done.stdout
    assert sesacctl("audit", "--ledger", tmp_path / "none.jsonl").returncode == 2
