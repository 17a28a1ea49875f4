"""What a round takes, stamps and publishes, on real servers."""

from __future__ import annotations

import random
import threading
from datetime import timedelta

import pytest
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError

from sesacctl.cache import snapshot
from sesacctl.cache.client import CacheReader, connect
from sesacctl.cache.rows import TABLES, Table
from sesacctl.cache.snapshot import microseconds, read_rounds
from sesacctl.cache.state import read_state
from sesacctl.errors import CheckFailed, DatabaseMissing, SchemaNotAtHead, ServerUnreachable, SesacctlError
from sesacctl.pipeline.refresh import statement as aging
from sesacctl.pipeline.refresh.figures import RefreshResult
from sesacctl.pipeline.refresh.simulation import bound, shares
from sesacctl.pipeline.refresh.statement import GATE, refresh_statement
from sesacctl.pipeline.refresh.stats import read_stats
from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.settings import Settings
from tests.helpers.cache_data import cached_ids, fill, postgres, stamps, waits_for_a_lock
from tests.helpers.servers import RunningStack
from tests.helpers.waiting import wait_until


def counts(result: RefreshResult) -> dict[str, tuple[int, int]]:
    return {each.table: (each.fresh, each.aged) for each in result.tables}


@pytest.mark.parametrize("rows", [0, 3, 1000, 1700])
def test_the_first_rounds_take_what_there_is(settings: Settings, rows: int) -> None:
    fill(settings, users=rows, products=5)
    with Refresher(settings) as refresher:
        first, second = refresher.run_once(), refresher.run_once()
    taken = min(rows, 1000)
    assert counts(first)["users"] == (taken, 0)
    assert counts(second)["users"] == ((500, 500) if rows == 1700 else (0, taken))
    assert counts(second)["products"] == (0, 5)
    assert len(cached_ids(settings, "users")) == taken


def test_a_round_tops_up_from_either_side(settings: Settings) -> None:
    shuffled = random.Random(5)
    with postgres(settings) as cursor, Refresher(settings, size=20, fresh=8, tables=("users",)) as refresher:
        for _ in range(15):
            never, cached = shuffled.choice([0, 3, 8, 9, 30]), shuffled.choice([0, 5, 12, 13, 40])
            cursor.execute("TRUNCATE users CASCADE")
            fill(settings, users=never + cached)
            cursor.execute("UPDATE users SET last_cached_at = now() WHERE user_id > %s", (f"u_{never:08d}",))
            assert counts(refresher.run_once()) == {"users": shares(never, cached, size=20, fresh=8)}


def test_aging_bounds_every_wait_while_new_rows_arrive(settings: Settings) -> None:
    size, fresh, rounds, rows = 20, 8, 60, 200
    fill(settings, users=rows)
    turns: dict[str, int] = {}
    waits = []
    with Refresher(settings, size=size, fresh=fresh, tables=("users",)) as refresher:
        for number in range(rounds):
            fill(settings, users=fresh, first=rows + 1)
            rows += fresh
            refresher.run_once()
            for key in cached_ids(settings, "users"):
                waits.append(number - turns.get(key, number))
                turns[key] = number
    waits += [rounds - turn for turn in turns.values()]
    limit = bound(rows, size=size, fresh=fresh)
    assert limit is not None
    assert 10 < max(waits) <= limit


def test_a_round_is_one_statement(settings: Settings, stack: RunningStack) -> None:
    fill(settings, users=10, products=10)
    log = stack.home / "logs" / "postgres.log"
    with postgres(settings) as cursor:
        cursor.execute(f"ALTER DATABASE {settings.postgres_db} SET log_statement = 'all'")
    with Refresher(settings) as refresher:
        refresher.run_once()
        assert refresher._postgres is not None
        backend = f"[{refresher._postgres.info.backend_pid}]"
        seen = log.stat().st_size
        for _ in range(5):
            refresher.run_once()
        with log.open() as lines:
            lines.seek(seen)
            statements = [line.split("statement: ")[1].split()[0] for line in lines if backend in line]
    assert statements == ["BEGIN", "WITH", "COMMIT"] * 5


def test_the_plan_uses_both_partial_indexes_and_reads_no_table(settings: Settings) -> None:
    fill(settings, users=20_000, products=20_000)
    with postgres(settings) as cursor:
        for table in ("users", "products"):
            cursor.execute(f"UPDATE {table} SET last_cached_at = now() WHERE right({table[:-1]}_id, 1) < '5'")
        cursor.execute("VACUUM ANALYZE users, products")
        cursor.execute("EXPLAIN " + refresh_statement(("users", "products"), size=1000, fresh=500))
        plan = "\n".join(line for (line,) in cursor.fetchall())
    for table in ("users", "products"):
        assert f"using ix_{table}_never_cached" in plan
        assert f"using ix_{table}_last_cached_at" in plan
        assert f"{table}_pkey" in plan
    assert "Seq Scan" not in plan.replace("Seq Scan on forgotten_users", "")  # a list of a few
    assert "Sort" not in plan


def test_orders_and_refresh_do_not_wait_for_each_other(settings: Settings) -> None:
    fill(settings, users=50, products=50)
    order = """INSERT INTO orders (order_id, user_id, product_id, quantity, total_amount)
        SELECT %s || right(user_id, 8), user_id, 'p_' || right(user_id, 8), 1, 1 FROM users"""
    with postgres(settings, autocommit=False) as first, postgres(settings, autocommit=False) as second:
        first.execute(order, ("before-",))
        with Refresher(settings) as refresher:
            assert counts(refresher.run_once())["users"] == (50, 0)
        second.execute(refresh_statement(("users", "products"), size=1000, fresh=500))
        first.execute("SET LOCAL lock_timeout = '500ms'")
        first.execute(order, ("after-",))
        first.connection.commit()
        second.connection.commit()
        first.execute("SELECT count(*) FROM orders")
        assert first.fetchone() == (100,)


def test_a_round_is_skipped_while_another_one_runs(settings: Settings) -> None:
    fill(settings, users=30)
    with Refresher(settings, size=10, fresh=5) as refresher, postgres(settings, autocommit=False) as other:
        refresher.run_once()
        before, times = cached_ids(settings, "users"), stamps(settings, "users")
        other.execute("SELECT pg_advisory_xact_lock(%s)", (GATE,))
        result = refresher.run_once()
        assert result.skipped
        assert result.generation is None
        assert (cached_ids(settings, "users"), stamps(settings, "users")) == (before, times)
        other.connection.rollback()
        assert not refresher.run_once().skipped


def test_four_refreshers_at_once_do_no_harm(settings: Settings) -> None:
    fill(settings, users=400, products=400)
    sizes: set[int] = set()
    done: list[RefreshResult] = []
    finished = threading.Event()

    def refresh() -> None:
        with Refresher(settings, size=100, fresh=50) as refresher:
            done.extend(refresher.run_once() for _ in range(25))

    def look() -> None:
        redis = connect(settings)
        while not finished.is_set():
            sizes.add(redis.hlen("cache:users"))
        redis.close()

    with Refresher(settings, size=100, fresh=50) as first:
        first.run_once()
    threads = [threading.Thread(target=refresh) for _ in range(4)]
    reader = threading.Thread(target=look)
    for thread in (reader, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    finished.set()
    reader.join()
    assert sizes == {100}
    assert len(done) == 100
    published = [result.generation for result in done if not result.skipped]
    assert published
    assert len(set(published)) == len(published)
    with Refresher(settings, size=100, fresh=50) as last:  # how many of theirs were skipped is up to the scheduler
        for _ in range(25):
            last.run_once()
    assert None not in stamps(settings, "users").values()


def test_a_swap_that_never_reaches_redis_leaves_the_old_hash(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(settings, users=30, products=30)
    with Refresher(settings, size=10, fresh=5) as refresher:
        refresher.run_once()
        before, times = cached_ids(settings, "users"), stamps(settings, "users")

        def lose(*_: object, **__: object) -> None:
            raise RedisConnectionError("the connection broke before EXEC")

        with monkeypatch.context() as broken:
            broken.setattr(Pipeline, "execute", lose)
            with pytest.raises(ServerUnreachable):
                refresher.run_once()
        assert (cached_ids(settings, "users"), stamps(settings, "users")) == (before, times)


def test_a_generation_is_announced_after_its_rows(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that saw the number first would keep the old rows until the next round."""
    replace, seen = snapshot._replace, list[int | None]()

    def look(redis: Redis, table: Table, values: dict[str, str]) -> None:
        replace(redis, table, values)
        seen.append(read_state(redis).generation)

    fill(settings, users=10, products=10)
    with Refresher(settings) as refresher:
        refresher.run_once()
        monkeypatch.setattr(snapshot, "_replace", look)
        assert refresher.run_once().generation == 2
    assert seen == [1, 1]


def test_a_round_whose_commit_fails_is_not_recorded(settings: Settings) -> None:
    """Fairness would hold it against the rows that it left waiting."""
    fill(settings, users=30)
    with Refresher(settings, size=10, fresh=5, tables=("users",)) as refresher:
        refresher.run_once()
        before = read_rounds(refresher._redis, "users")
        with postgres(settings) as cursor:
            cursor.execute(
                "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;"
                " CREATE CONSTRAINT TRIGGER fail AFTER UPDATE ON users DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW EXECUTE FUNCTION fail()"
            )
        with pytest.raises(SesacctlError, match="not today"):
            refresher.run_once()
        assert read_rounds(refresher._redis, "users") == before


def test_an_emptied_table_keeps_the_old_hash(settings: Settings) -> None:
    fill(settings, users=10, products=10)
    with Refresher(settings) as refresher:
        refresher.run_once()
        with postgres(settings) as cursor:
            cursor.execute("DELETE FROM users")
        result = refresher.run_once()
    assert counts(result) == {"users": (0, 0), "products": (0, 10)}
    assert len(cached_ids(settings, "users")) == 10


def test_only_the_tables_asked_for(settings: Settings) -> None:
    fill(settings, users=10, products=10)
    with Refresher(settings, tables=("products",)) as refresher:
        assert counts(refresher.run_once()) == {"products": (10, 0)}
    assert cached_ids(settings, "users") == set()
    assert set(stamps(settings, "users").values()) == {None}


def test_any_name_that_postgresql_stores_comes_back_as_it_was(settings: Settings) -> None:
    names = ['홍"길\\동', "tab\tline\nreturn\r", "\x01\x1f\x7f", "\u2028\u2029", "🛒" * 50, "[/x] {}", "'; --", "null"]
    with postgres(settings) as cursor:
        for number, name in enumerate(names):
            cursor.execute("INSERT INTO users (user_id, name) VALUES (%s, %s)", (f"u{number}", name))
        cursor.execute("INSERT INTO products (product_id, name, price, discount_rate) VALUES ('p', 'x', 1, 'NaN')")
        cursor.execute("INSERT INTO products (product_id, name, price) VALUES ('q', 'x', 1)")
    with Refresher(settings) as refresher:
        refresher.run_once()
    reader = CacheReader(connect(settings))
    assert {row["user_id"]: row["name"] for row in reader.users()} == {f"u{n}": name for n, name in enumerate(names)}
    assert [row["product_id"] for row in reader.products()] == ["q"]


@pytest.mark.parametrize("ahead", ["1 hour", "-1 hour"])
def test_a_clock_jump_does_not_change_the_order_of_rows(settings: Settings, ahead: str) -> None:
    """The stamps are as if half of the rows had been cached while the server's clock was wrong."""
    fill(settings, users=40)
    with Refresher(settings, size=10, fresh=5, tables=("users",)) as refresher:
        for _ in range(8):
            refresher.run_once()
        with postgres(settings) as cursor:
            cursor.execute(f"UPDATE users SET last_cached_at = last_cached_at + interval '{ahead}'")
        order = [key for key, _ in sorted(stamps(settings, "users").items(), key=lambda item: item[1])]
        newest = max(stamps(settings, "users").values())
        for start in range(0, 40, 10):
            refresher.run_once()
            now = stamps(settings, "users")
            assert {key for key, stamp in now.items() if stamp > newest} == set(order[: start + 10])


def test_cache_age_ignores_stamps_from_a_clock_set_back(settings: Settings) -> None:
    """The clock was an hour ahead when the rows had their last turn, and was set back since."""
    fill(settings, users=20, products=20)
    with Refresher(settings, size=10, fresh=5) as refresher, postgres(settings) as cursor:
        cursor.execute("UPDATE users SET last_cached_at = now() + interval '1 hour'")
        result = refresher.run_once()
        age = read_stats(settings).age
        assert age is not None
        assert 0 <= age < 600
        assert result.at is not None
        assert max(stamps(settings, "users").values()) > result.at + timedelta(minutes=50)
        for table in TABLES:
            latest = max(filter(None, stamps(settings, table).values()))
            assert read_rounds(refresher._redis, table) == [microseconds(latest)]


def test_a_long_open_snapshot_only_costs_time(settings: Settings) -> None:
    fill(settings, users=100)
    with postgres(settings, autocommit=False) as snapshot, Refresher(settings, size=20, fresh=10) as refresher:
        snapshot.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        snapshot.execute("SELECT count(*) FROM users")
        for _ in range(60):
            assert sum(counts(refresher.run_once())["users"]) == 20
        snapshot.execute("SELECT count(last_cached_at) FROM users")
        assert snapshot.fetchone() == (0,)
    assert bound(100, size=20, fresh=10) == 12


def test_a_row_held_for_long_fails_the_round_and_moves_no_stamp(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(aging._LIMITS, "lock_timeout", "200ms")
    fill(settings, users=20)
    with Refresher(settings) as refresher, postgres(settings, autocommit=False) as other:
        refresher.run_once()
        before = stamps(settings, "users")
        other.execute("UPDATE users SET last_cached_at = NULL WHERE user_id = 'u_00000007'")
        with pytest.raises(CheckFailed, match="waiting"):
            refresher.run_once()
        other.connection.rollback()
        assert stamps(settings, "users") == before
        assert counts(refresher.run_once())["users"] == (0, 20)


def test_a_deadlock_fails_the_round_and_nothing_else(settings: Settings) -> None:
    fill(settings, users=20)
    failed: list[CheckFailed] = []

    def refresh() -> None:
        with Refresher(settings) as refresher, pytest.raises(CheckFailed, match="another order") as caught:
            refresher.run_once()
        failed.append(caught.value)

    with postgres(settings, autocommit=False) as other, postgres(settings) as watcher:
        other.execute("UPDATE users SET age = 1 WHERE user_id = 'u_00000015'")
        thread = threading.Thread(target=refresh)
        thread.start()
        wait_until(lambda: waits_for_a_lock(watcher, "cache-refresh"))
        other.execute("UPDATE users SET age = 1 WHERE user_id = 'u_00000005'")
        other.connection.commit()
        thread.join()
    assert len(failed) == 1
    assert "\n" not in str(failed[0])
    assert set(stamps(settings, "users").values()) == {None}


def test_the_meta_data_hold_the_plan_of_the_next_round(settings: Settings) -> None:
    fill(settings, users=3)
    with Refresher(settings, size=200, fresh=20) as refresher:
        refresher.run_once(period=50.0)
        result = refresher.run_once(period=50.0)
    state = read_state(connect(settings))
    assert (state.generation, state.period, state.size, state.fresh) == (2, 50.0, 200, 20)
    assert state.refreshed_at == result.at
    assert [each.rows for each in state.hashes] == [3, 0]


def test_a_missing_schema_or_database_is_named(settings: Settings) -> None:
    with postgres(settings) as cursor:
        cursor.execute("DROP TABLE sesacctl_version")
    with Refresher(settings) as refresher, pytest.raises(SchemaNotAtHead):
        refresher.run_once()
    missing = settings.model_copy(update={"postgres_db": "none_of_ours"})
    with Refresher(missing) as refresher, pytest.raises(DatabaseMissing):
        refresher.run_once()
