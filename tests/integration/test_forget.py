"""`db forget`: nothing personal is left, nothing comes back, and every audit still holds."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sesacctl.cache.client import CacheReader, connect
from sesacctl.cache.snapshot import publish
from sesacctl.errors import CheckFailed, ServerUnreachable, UserMissing
from sesacctl.events import ORDERS, PRODUCTS, USERS
from sesacctl.pipeline.audit.report import audit
from sesacctl.pipeline.refresh import worker
from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.pipeline.repair import forget as service
from sesacctl.pipeline.repair import reset_offsets
from sesacctl.pipeline.repair.forget import forget
from sesacctl.pipeline.repair.removal import remove_user
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.cache_data import cached_ids
from tests.helpers.consumers import store_all
from tests.helpers.events import Message, add_parents, message, order, product, query, send, user
from tests.helpers.rig import Rig
from tests.helpers.topics import make_topics
from tests.helpers.traces import found_in_redis, found_in_tables, is_in_dump
from tests.helpers.waiting import wait_until

PERSON = {"name": "독고영웅", "region": "어느먼섬", "age_group": "97대"}
WORDS = tuple(PERSON.values())
OF_ORDERS = {"user_region": PERSON["region"], "user_gender": "F", "user_age_group": PERSON["age_group"]}
KEPT = "user_region IS NULL AND user_gender IS NULL AND user_age_group IS NULL"


def person() -> Message:
    return message(user(1, gender="F", age=97, **PERSON))


def theirs(number: int, **values: Any) -> Message:
    return message(order(number, **OF_ORDERS, **values))


@pytest.fixture
def shop(settings: Settings) -> Settings:
    """Two users with orders; of the first also a parked order, and dead letters of three sorts."""
    make_topics(settings)
    send(settings, USERS, [person(), message(user(2))])
    send(settings, PRODUCTS, [message(product(1))])
    told = json.dumps({"user_id": "u1", "name": PERSON["name"]}).encode()
    send(settings, USERS, [(b"u2", told), (b"u1", f"{{{PERSON['name']}".encode())])
    conflict = theirs(1, total_amount=7)
    send(
        settings, ORDERS, [theirs(1), conflict, theirs(2), theirs(3, product_id="p9"), message(order(4, user_id="u2"))]
    )
    store_all(settings)
    with Refresher(settings) as refresher:
        refresher.run_once(period=50.0)
    return settings


def again(settings: Settings) -> None:
    """Consume everything once more."""
    reset_offsets.move(settings, reset_offsets.plan(settings, [ORDERS, USERS, PRODUCTS], "earliest"))
    store_all(settings)


def check_audits(settings: Settings) -> None:
    result = audit(settings, values=True)
    assert result.deep is not None
    facts = (result.ok, result.missing, result.deep.missing, result.deep.different, set(result.gone.values()))
    assert facts == (True, 0, 0, 0, {0}), result


def test_forget_leaves_no_trace_and_consuming_again_brings_none(shop: Settings, tmp_path: Path) -> None:
    assert found_in_tables(shop, WORDS) == {"users", "orders", "dead_letters", "parked_events"}
    assert found_in_redis(shop, WORDS) == {b"cache:users"}
    assert is_in_dump(shop, WORDS, tmp_path / "before.dump")
    done = service.with_copies(shop, forget(shop, "u1"))
    assert (done.user_row, done.orders, done.orders_erased, done.parked, done.dead_letters) == (1, 2, 2, 1, 3)
    assert done.cached
    assert done.kafka is not None
    assert {(copies.topic, copies.records) for copies in done.kafka} == {
        (shop.topic(USERS), 2),
        (shop.topic(ORDERS), 4),
    }
    for look in ("after it", "after all was consumed again"):
        assert found_in_tables(shop, WORDS) == set(), look
        assert found_in_redis(shop, WORDS) == set(), look
        assert not is_in_dump(shop, WORDS, tmp_path / "after.dump"), look
        assert query(shop, f"SELECT order_id FROM orders WHERE user_id = 'u1' AND {KEPT} ORDER BY 1") == [
            ("o1",),
            ("o2",),
        ]
        check_audits(shop)
        again(shop)
        with Refresher(shop) as refresher:
            refresher.run_once(period=50.0)
    assert cached_ids(shop, "users") == {"u2"}


def test_orders_that_come_or_are_waited_for_stay_anonymous(shop: Settings) -> None:
    send(shop, ORDERS, [theirs(5)])  # not stored yet
    forget(shop, "u1")
    send(shop, ORDERS, [theirs(6), (b"u1", PERSON["name"].encode())])
    send(shop, PRODUCTS, [message(product(9))])  # what the parked order waits for
    store_all(shop)
    assert query(shop, f"SELECT count(*) FROM orders WHERE user_id = 'u1' AND {KEPT}") == [(5,)]
    assert found_in_tables(shop, WORDS) == set()
    check_audits(shop)


def test_forgetting_twice_is_told_and_changes_nothing(shop: Settings) -> None:
    forget(shop, "u1")
    second = forget(shop, "u1")
    assert (second.orders_erased, second.parked, second.cached) == (0, 0, False)
    assert second.forgotten_at is not None


def test_columns_of_the_users_own_are_emptied_too(shop: Settings) -> None:
    query(shop, "ALTER TABLE users ADD email text, ADD phone text NOT NULL DEFAULT ''")
    query(shop, "UPDATE users SET email = 'a@b.example', phone = '010-1234-5678' WHERE user_id = 'u1'")
    with pytest.raises(CheckFailed, match="must not be empty: phone"):
        forget(shop, "u1")
    assert query(shop, "SELECT name FROM users WHERE user_id = 'u1'") == [(PERSON["name"],)]
    query(shop, "ALTER TABLE users ALTER phone DROP NOT NULL")
    forget(shop, "u1")
    assert query(shop, "SELECT email, phone FROM users WHERE user_id = 'u1'") == [(None, None)]


def test_a_step_under_way_ends_before_the_user_is_forgotten(settings: Settings) -> None:
    add_parents(settings)
    make_topics(settings)
    rig, reached, proceed = Rig(settings), threading.Event(), threading.Event()

    def checkpoint(label: str) -> None:
        if label == "after copy of orders":
            reached.set()
            assert proceed.wait(60)

    rig.sink._checkpoint = checkpoint
    with ThreadPoolExecutor(2) as pool:
        step = pool.submit(rig.store, [theirs(1)])
        assert reached.wait(60)
        forgetting = pool.submit(forget, settings, "u1")
        wait_until(lambda: forgetting.done() or _waits(settings), message="it neither waits nor ends")
        proceed.set()
        step.result(60)
        assert forgetting.result(60).orders_erased == 1
    assert rig.store([theirs(2)]).stored == 1
    assert query(settings, f"SELECT count(*) FROM orders WHERE {KEPT}") == [(2,)]


def _waits(settings: Settings) -> bool:
    statement = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'sesacctl/db-forget'"
        " AND wait_event_type = 'Lock'"
    )
    return bool(query(settings, statement))


def test_a_refresh_under_way_does_not_bring_the_user_back(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    reached, proceed = threading.Event(), threading.Event()

    def slowly(*arguments: Any, **keywords: Any) -> Any:
        reached.set()
        assert proceed.wait(60)
        return publish(*arguments, **keywords)

    monkeypatch.setattr(worker, "publish", slowly)
    reader = CacheReader(connect(shop), look_every=0.0)
    assert {row["user_id"] for row in reader.users()} == {"u1", "u2"}
    with ThreadPoolExecutor(2) as pool, Refresher(shop) as refresher:
        refresh = pool.submit(refresher.run_once)
        assert reached.wait(60)
        forgetting = pool.submit(forget, shop, "u1")
        wait_until(lambda: forgetting.done() or _waits(shop), message="it neither waits nor ends")
        proceed.set()
        refresh.result(60)
        assert forgetting.result(60).cached
    assert cached_ids(shop, "users") == {"u2"}
    assert {row["user_id"] for row in reader.users()} == {"u2"}, "readers see it at their next look"


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "Redis"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, "Kafka"),
        ({"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": "1"}, "PostgreSQL"),
    ],
)
def test_nothing_is_erased_while_a_server_is_away(
    shop: Settings, sesacctl: Cli, variables: dict[str, Any], says: str
) -> None:
    done = sesacctl("db", "forget", "u1", "--yes", **variables)
    assert (done.returncode, says in done.stderr) == (4, True), done.stderr
    assert query(shop, "SELECT name FROM users WHERE user_id = 'u1'") == [(PERSON["name"],)]
    assert cached_ids(shop, "users") == {"u1", "u2"}


def test_redis_lost_on_the_way_undoes_it_and_says_what_to_run(shop: Settings) -> None:
    gone = shop.model_copy(update={"redis_host": "127.0.0.1", "redis_port": 1, "redis_url": None})
    with pytest.raises(ServerUnreachable, match="Redis") as caught:
        forget(gone, "u1")
    assert "then sesacctl db forget u1" in str(caught.value.hint)
    assert query(shop, "SELECT name FROM users WHERE user_id = 'u1'") == [(PERSON["name"],)]
    assert query(shop, "SELECT 1 FROM forgotten_users") == []


@pytest.mark.usefixtures("shop")
def test_a_user_who_is_nowhere_is_an_error(sesacctl: Cli) -> None:
    done = sesacctl("db", "forget", "u77", "--yes")
    assert done.returncode == UserMissing.exit_code
    assert "There is nothing of user 'u77' in PostgreSQL" in done.stderr
    assert "sesacctl consume --until-empty" in done.stderr


def test_a_dry_run_and_a_certificate_as_json(shop: Settings, sesacctl: Cli) -> None:
    planned = json.loads(sesacctl("db", "forget", "u1", "--dry-run", "-o", "json").stdout)
    assert found_in_tables(shop, WORDS)
    done = json.loads(sesacctl("db", "forget", "u1", "--yes", "-o", "json").stdout)
    same = ("user_row", "orders", "orders_erased", "parked", "dead_letters", "cached")
    assert [planned[name] for name in same] == [done[name] for name in same] == [1, 2, 2, 1, 3, True]
    assert (planned["dry_run"], done["dry_run"]) == (True, False)
    [of_orders] = [each for each in done["kafka"] if each["topic"] == shop.topic(ORDERS)]
    assert (of_orders["records"], len(of_orders["offsets"])) == (4, 4)
    assert of_orders["expires"] > of_orders["newest"]
    assert "1 user is forgotten" in sesacctl("audit").stdout


def test_without_a_terminal_it_asks_for_yes(shop: Settings, sesacctl: Cli) -> None:
    done = sesacctl("db", "forget", "u1")
    assert (done.returncode, "--yes" in done.stderr) == (2, True)
    assert found_in_tables(shop, WORDS)


@pytest.fixture
def smoked(shop: Settings) -> Iterator[Settings]:
    """A tagged user with two orders, one of which is not stored yet."""
    send(shop, USERS, [message(user(8))])
    send(shop, ORDERS, [message(order(81, user_id="u8"))])
    store_all(shop)
    send(shop, ORDERS, [message(order(82, user_id="u8"))])
    yield shop


def test_a_removed_user_is_gone_and_stays_so(smoked: Settings) -> None:
    done = remove_user(smoked, "u8", ["o81", "o82"], reason="smoke")
    assert (done.orders, done.users) == (1, 1)
    again_done = remove_user(smoked, "u8", ["o81", "o82"], reason="smoke")
    assert (again_done.orders, again_done.users) == (0, 0)
    store_all(smoked)
    for _ in range(2):
        assert (
            query(smoked, "SELECT 1 FROM orders WHERE user_id = 'u8' UNION SELECT 1 FROM users WHERE user_id = 'u8'")
            == []
        )
        check_audits(smoked)
        deep = audit(smoked, deep=True).deep
        assert deep is not None
        assert deep.removed == 3
        again(smoked)


def test_a_users_other_orders_keep_the_user(smoked: Settings) -> None:
    with pytest.raises(CheckFailed, match="orders_user_id_fkey"):
        remove_user(smoked, "u8", [], reason="smoke")
    assert query(smoked, "SELECT count(*) FROM orders WHERE user_id = 'u8'") == [(1,)]
    remove_user(smoked, "u8", ["o81"], reason="smoke")
    store_all(smoked)
    check_audits(smoked)
