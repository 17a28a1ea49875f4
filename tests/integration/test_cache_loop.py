"""The loop: its period, its signals, its sign of life; and the `cache` commands as a user types them."""

from __future__ import annotations

import io
import json
import re
import signal
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sesacctl.cache.client import connect
from sesacctl.cache.connections import ANSWER_SECONDS
from sesacctl.cache.meta import META
from sesacctl.cli import cache_views
from sesacctl.heartbeat import Pulse, read_pulses
from sesacctl.pipeline.refresh import statement as aging
from sesacctl.pipeline.refresh.fairness import read_fairness
from sesacctl.pipeline.refresh.figures import RefreshResult
from sesacctl.pipeline.refresh.statement import GATE, reset_aging
from sesacctl.pipeline.refresh.stats import read_stats
from sesacctl.pipeline.refresh.worker import EMPTY_SECONDS, Refresher
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.cache_data import cached_ids, fill, postgres, stamps, waits_for_a_lock
from tests.helpers.cache_loop import looping
from tests.helpers.servers import PrivateServer
from tests.helpers.waiting import wait_until, within


def test_the_loop_writes_heartbeats(settings: Settings, tmp_path: Path) -> None:
    fill(settings, users=20)
    alive: list[Pulse] = []
    stop = threading.Event()

    def look(_: RefreshResult) -> None:
        alive.extend(read_pulses(tmp_path))
        if len(alive) == 3:
            stop.set()

    own = settings.model_copy(update={"sesac_home": tmp_path})
    with Refresher(own, size=10, fresh=5) as refresher:
        refresher.run(stop, 0.2, on_round=look)
    assert [pulse.alive for pulse in alive] == [True] * 3
    assert alive[0].seconds_left < 120


def test_first_rows_are_cached_long_before_the_period_ends(settings: Settings) -> None:
    with looping(settings, period=3_600.0) as loop:
        assert loop.rounds[0].found_nothing
        fill(settings, users=3, products=3)
        wait_until(lambda: len(cached_ids(settings, "users")) == 3, 60.0)
        wait_until(lambda: not loop.rounds[-1].found_nothing)
        rounds = len(loop.rounds)
        assert not threading.Event().wait(1.5 * EMPTY_SECONDS)
        assert len(loop.rounds) == rounds, "from then on by the period"


def test_the_worker_drains_on_sigterm(sesacctl: Cli, settings: Settings) -> None:
    fill(settings, users=20, products=20)
    home = Path(sesacctl.environment["SESAC_HOME"])
    worker = sesacctl.start("cache", "refresh", "--loop", "0.2", "-o", "jsonl")
    assert worker.stdout is not None
    lines = [json.loads(worker.stdout.readline()) for _ in range(3)]
    assert [line["generation"] for line in lines] == [1, 2, 3]
    assert read_pulses(home)[0].alive
    worker.send_signal(signal.SIGTERM)
    out, log = worker.communicate(timeout=60)
    assert worker.returncode == 0, log
    assert read_pulses(home) == ()
    assert all(json.loads(line)["schema_version"] == 1 for line in out.splitlines())
    assert "refresh.done" in log


def test_a_second_signal_ends_a_worker_that_waits_for_a_server(
    sesacctl: Cli, settings: Settings, private_valkey: PrivateServer
) -> None:
    fill(settings, users=20)
    worker = sesacctl.start("cache", "refresh", "--loop", "0.1", "-o", "jsonl", **private_valkey.environment)
    assert worker.stdout is not None
    worker.stdout.readline()
    private_valkey.suspend()
    with postgres(settings) as cursor:
        wait_until(lambda: in_transaction(cursor), message="no round is under way")

    def ended() -> bool:
        worker.send_signal(signal.SIGINT)
        return worker.poll() is not None

    with within(ANSWER_SECONDS):
        wait_until(ended, message="two signals did not end it")
    assert worker.returncode == 130


def in_transaction(cursor: Any) -> bool:
    """Whether a round waits for Redis."""
    cursor.execute(
        """SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'sesacctl/cache-refresh' AND state = 'idle in transaction'
        AND state_change < clock_timestamp() - interval '200 ms')"""
    )
    return bool(cursor.fetchone()[0])


@pytest.mark.parametrize("loop", [(), ("--loop", "50")])
@pytest.mark.parametrize(
    ("server", "variable"), [({"REDIS_PORT": "1"}, "REDIS_PORT"), ({"POSTGRES_HOST": "/nowhere"}, "POSTGRES_HOST")]
)
def test_a_server_that_is_down_at_the_start_is_named(
    sesacctl: Cli, settings: Settings, server: dict[str, str], variable: str, loop: tuple[str, ...]
) -> None:
    fill(settings, users=1)
    sesacctl.environment.update(server)
    with within(10):
        done = sesacctl("cache", "refresh", *loop)
    assert done.returncode == 4
    assert {"REDIS_PORT": "127.0.0.1:1", "POSTGRES_HOST": "/nowhere"}[variable] in done.stderr
    assert "next:  start that server, or set " in done.stderr
    assert variable in done.stderr
    assert done.stdout == ""
    assert set(stamps(settings, "users").values()) == {None}


@pytest.mark.parametrize(
    "arguments",
    [("--loop", "0"), ("--loop", "-1"), ("--loop", "soon"), ("--size", "0"), ("--fresh", "2000"), ("--fresh", "-1"),
     ("--tables", "orders")],
)  # fmt: skip
def test_impossible_requests_are_usage_errors(bare_sesacctl: Cli, arguments: tuple[str, str]) -> None:
    done = bare_sesacctl("cache", "refresh", *arguments)
    assert done.returncode == 2
    assert arguments[0] in done.stderr
    assert done.stdout == ""


def test_refresh_stats_sample_and_fairness(sesacctl: Cli, settings: Settings) -> None:
    fill(settings, users=1200, products=30)
    assert sesacctl("cache", "sample", "users").returncode == 5
    assert json.loads(sesacctl("cache", "refresh", "-o", "json").stdout)["tables"][0] == {
        "table": "users",
        "fresh": 1000,
        "aged": 0,
    }
    stats = json.loads(sesacctl("cache", "stats", "-o", "json").stdout)
    assert stats["generation"] == 1
    assert stats["next_refresh"] is None
    assert 0 <= stats["age"] < 60
    assert (stats["policy"], stats["evicts"]) == ("noeviction", False)
    users, products = stats["tables"]
    assert (users["cached"], users["rows"], users["never_cached"]) == (1000, 1200, 200)
    assert (products["cached"], products["rows"], products["never_cached"]) == (30, 30, 0)
    assert users["ages"][0] == {"under": "1 min", "rows": 1000}
    assert users["memory"] > 100_000
    sample = json.loads(sesacctl("cache", "sample", "users", "-n", "3", "-o", "json").stdout)
    assert len({row["user_id"] for row in sample["items"]}) == 3
    assert "이어폰" in sesacctl("cache", "sample", "products").stdout
    shown = sesacctl("cache", "stats").stdout
    assert re.search(r"Redis memory\s+│ [\d.]+ [MG]B, no limit\s+│", shown)
    assert re.search(r"│ < 1 min\s+│\s+1,000 │\s+30 │", shown)
    ages = [line.split("│")[1].strip() for line in shown.splitlines() if line.startswith("│")][-8:]
    assert ages == ["< 1 min", "1–5 min", "5–15 min", "15 min–1 h", "1–6 h", "6 h–1 day", "1–7 days", "7 days and more"]


def test_stats_show_the_next_refresh_and_eviction_risk(settings: Settings, private_valkey: PrivateServer) -> None:
    fill(settings, users=3, products=3)
    own = private_valkey.over(settings)
    with Refresher(own) as refresher, connect(own) as redis, postgres(settings) as cursor:
        refresher.run_once()
        assert "none planned" in stats_of(own)
        refresher.run_once(period=500.0)
        assert "in 8 min" in stats_of(own)
        assert "evicts the whole cache" not in stats_of(own)
        redis.config_set("maxmemory-policy", "allkeys-lru")
        redis.config_set("maxmemory", "50mb")
        cursor.execute("SELECT (now() - interval '1 hour')::text")
        redis.hset(META, "time", datetime.fromisoformat(cursor.fetchone()[0]).isoformat())
        shown = stats_of(own)
    assert "overdue by 52 min" in shown
    assert "allkeys-lru: a full Redis evicts the whole cache" in shown
    assert "of 52.4 MB" in shown


def stats_of(settings: Settings) -> str:
    """`cache stats` as a person sees it."""
    console = Console(file=io.StringIO(), width=100)
    console.print(cache_views.stats(read_stats(settings)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_fairness_of_ten_thousand_users(sesacctl: Cli, settings: Settings) -> None:
    fill(settings, users=10_000, products=100)
    with Refresher(settings) as refresher:
        for _ in range(24):
            refresher.run_once()
    done = sesacctl("cache", "fairness")
    assert done.returncode == 0, done.stderr
    users = next(line for line in done.stdout.splitlines() if line.startswith("│ users"))
    cells = [cell.strip() for cell in users.strip("│").split("│")]
    assert cells == ["users", "10,000", "0", "22", "9", "from the round log", "holds"]


def test_a_refresh_names_the_next_step(sesacctl: Cli, settings: Settings) -> None:
    empty = sesacctl("cache", "refresh")
    assert (empty.returncode, empty.stderr) == (0, "next: sesacctl db seed\n")
    assert "Nothing to cache" in empty.stdout
    fill(settings, users=1)
    assert sesacctl("cache", "refresh").stderr == "next: sesacctl topics init\n"


def test_stats_watch_prints_until_stopped(sesacctl: Cli, settings: Settings) -> None:
    fill(settings, users=3)
    worker = sesacctl.start("cache", "stats", "--watch", "0.1", "-o", "jsonl")
    assert worker.stdout is not None
    assert [json.loads(worker.stdout.readline())["generation"] for _ in range(3)] == [None] * 3
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=60) == 0


def test_fairness_is_broken_when_a_row_was_passed_over(sesacctl: Cli, settings: Settings) -> None:
    fill(settings, users=100)
    with Refresher(settings, size=50, fresh=25) as refresher, postgres(settings) as cursor:
        for _ in range(10):
            refresher.run_once()
            # What a worker with another order would do: this row never has another turn.
            cursor.execute("UPDATE users SET last_cached_at = '2026-01-01' WHERE user_id = 'u_00000001'")
        done = sesacctl("cache", "fairness", "-o", "json")
        report = json.loads(done.stdout)
        assert report["tables"][0]["bound"] == 6
        assert report["tables"][0]["worst_wait"] == 10
        assert done.returncode == 5
        assert "error: a row of users has waited for 10 rounds, the bound is 6\n" in done.stderr
        for _ in range(3):
            refresher.run_once()
        assert sesacctl("cache", "fairness").returncode == 0


def test_fairness_goes_by_the_stamps_when_redis_was_flushed(sesacctl: Cli, settings: Settings) -> None:
    fill(settings, users=100)
    with Refresher(settings, size=20, fresh=10) as refresher:
        for _ in range(30):
            refresher.run_once()
        noted = read_fairness(settings).tables[0]
        assert (noted.worst_wait, noted.recorded) == (4, True)
        refresher._redis.flushdb()
        refresher.run_once()
    [users, _] = json.loads(sesacctl("cache", "fairness", "-o", "json").stdout)["tables"]
    assert not users["recorded"]
    assert users["worst_wait"] == 4
    assert users["bound"] == 12


@pytest.mark.parametrize(
    ("arguments", "code"),
    [((), 0), (("--newcomers", "500"), 0), (("--newcomers", "501"), 5), (("--fresh", "1000"), 5), (("--rows", "0"), 0)],
)
def test_fairness_simulated_without_any_server(bare_sesacctl: Cli, arguments: tuple[str, ...], code: int) -> None:
    done = bare_sesacctl("cache", "fairness", "--simulate", "-o", "json", *arguments)
    assert done.returncode == code, done.stderr
    assert json.loads(done.stdout)["holds"] is (code == 0)
    said = {"501": "501 new rows a round are more than the 500 kept for them: ", "1000": "the others have no bound."}
    assert not code or said[arguments[1]] in done.stderr


def test_reset_aging_asks_first_and_says_how_many(sesacctl: Cli, settings: Settings) -> None:
    fill(settings, users=1200, products=30)
    sesacctl("cache", "refresh")
    planned = sesacctl("cache", "reset-aging", "--dry-run", "-o", "json")
    expected = [{"table": "users", "rows": 1000}, {"table": "products", "rows": 30}]
    assert json.loads(planned.stdout)["items"] == expected
    assert "Would count as never cached" in sesacctl("cache", "reset-aging", "--dry-run").stdout
    asked = sesacctl("cache", "reset-aging")
    assert asked.returncode == 2
    assert "Treat 1,000 users, 30 products as never cached?" in asked.stderr
    assert sum(at is not None for at in stamps(settings, "users").values()) == 1000
    assert sesacctl("cache", "reset-aging", "products", "--yes").returncode == 0
    assert sum(at is not None for at in stamps(settings, "users").values()) == 1000
    assert json.loads(sesacctl("cache", "reset-aging", "--yes", "-o", "json").stdout)["items"][0] == expected[0]
    assert set(stamps(settings, "users").values()) == {None}


def test_reset_aging_lets_refreshes_run_between_batches(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aging, "RESET_BATCH", 70)
    fill(settings, users=500)
    batches, refreshed = [], []
    with Refresher(settings, size=100, fresh=50, tables=("users",)) as refresher:
        while None in stamps(settings, "users").values():
            refresher.run_once()

        def on_batch(_table: str, rows: int) -> None:
            batches.append(rows)
            refreshed.append(refresher.run_once())
            with postgres(settings) as cursor:
                cursor.execute("SET lock_timeout = '500ms'")
                cursor.execute("UPDATE users SET age = age + 1")

        [reset] = reset_aging(settings, ("users",), on_batch=on_batch)
    assert max(batches) <= 70
    assert len(batches) >= 5
    assert 300 <= reset.rows == sum(batches) < 500  # rows that a refresh stamped meanwhile keep their stamp
    assert not any(result.skipped for result in refreshed)
    assert len(cached_ids(settings, "users")) == 100


def test_reset_aging_waits_for_a_refresh(settings: Settings) -> None:
    fill(settings, users=30)
    with Refresher(settings) as refresher:
        refresher.run_once()
    done = threading.Event()

    def reset() -> None:
        reset_aging(settings)
        done.set()

    with postgres(settings, autocommit=False) as refreshing:
        refreshing.execute("SELECT pg_advisory_xact_lock(%s)", (GATE,))
        thread = threading.Thread(target=reset)
        thread.start()
        assert not done.wait(0.3)
        refreshing.connection.rollback()
        thread.join(60)
    assert done.is_set()


def test_reset_aging_stops_between_two_batches(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aging, "RESET_BATCH", 10)
    fill(settings, users=30, products=30)
    with Refresher(settings) as refresher:
        refresher.run_once()
    stop = threading.Event()
    resets = reset_aging(settings, stop=stop, on_batch=lambda _table, _rows: stop.set())
    assert [each.rows for each in resets] == [10, 0]
    assert sum(at is None for at in stamps(settings, "users").values()) == 10
    assert None not in stamps(settings, "products").values()


def test_reset_aging_that_meets_a_deadlock_says_so(sesacctl: Cli, settings: Settings) -> None:
    fill(settings, users=20)
    with Refresher(settings) as refresher:
        refresher.run_once()
    with postgres(settings, autocommit=False) as other, postgres(settings) as watcher:
        other.execute("UPDATE users SET age = 1 WHERE user_id = 'u_00000015'")
        reset = sesacctl.start("cache", "reset-aging", "--yes")
        wait_until(lambda: waits_for_a_lock(watcher, "cache-reset-aging"))
        other.execute("UPDATE users SET age = 1 WHERE user_id = 'u_00000005'")
        other.connection.rollback()
        _, said = reset.communicate(timeout=60)
    assert reset.returncode == 5
    assert "another session changed the same rows in another order: deadlock detected" in said
    assert len(said.splitlines()) == 2
