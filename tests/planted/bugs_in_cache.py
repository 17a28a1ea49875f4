"""Bugs of the cache: its worker, its readers, and signs of life."""

from __future__ import annotations

from tests.planted.plant import Plant

_CACHE_FAULTS = "tests/integration/test_cache_faults.py"
_CACHE_LOOP = "tests/integration/test_cache_loop.py"
_CACHE_READER = "tests/integration/test_cache_reader.py"
_CACHE_REFRESH = "tests/integration/test_cache_refresh.py"
_HEARTBEAT = "tests/unit/test_heartbeat.py"

PLANTS: tuple[Plant, ...] = (
    Plant(
        "deleted-before-the-rename",
        "sesacctl/cache/snapshot.py",
        (
            (
                "    with redis.pipeline(transaction=True) as pipeline:\n        pipeline.delete(next_key(table))",
                (
                    "    redis.delete(live_key(table))\n"
                    "    with redis.pipeline(transaction=True) as pipeline:\n"
                    "        pipeline.delete(next_key(table))"
                ),
            ),
        ),
        (f"{_CACHE_REFRESH}::test_a_swap_that_never_reaches_redis_leaves_the_old_hash",),
    ),
    Plant(
        "written-into-the-old-next-hash",
        "sesacctl/cache/snapshot.py",
        (("        pipeline.delete(next_key(table))\n        items", "        items"),),
        (f"{_CACHE_FAULTS}::test_redis_restarted_between_write_and_rename",),
    ),
    Plant(
        "generation-moves-first",
        "sesacctl/cache/snapshot.py",
        (
            (
                "        for table, values in rows.items():\n            _replace(redis, table, values)\n        facts",
                "        facts",
            ),
            (
                "            redis.delete(META)\n            generation = _move_on(redis, facts)\n",
                (
                    "            redis.delete(META)\n"
                    "            generation = _move_on(redis, facts)\n"
                    "        for table, values in rows.items():\n"
                    "            _replace(redis, table, values)\n"
                ),
            ),
        ),
        (f"{_CACHE_REFRESH}::test_a_generation_is_announced_after_its_rows",),
    ),
    Plant(
        "generation-read-after-the-rows",
        "sesacctl/cache/client.py",
        (
            (
                "        for table in TABLES:\n            self._hold(",
                "        token = self._look_at_meta()\n        for table in TABLES:\n            self._hold(",
            ),
        ),
        (f"{_CACHE_READER}::test_a_generation_written_during_a_look_is_read_next",),
    ),
    Plant(
        "lost-rows-are-gone-at-once",
        "sesacctl/cache/client.py",
        ((">= max(self._keep, self._period + REFRESH_SECONDS)", ">= 0"),),
        (f"{_CACHE_READER}::test_lost_rows_are_served_until_the_next_refresh_is_overdue",),
    ),
    Plant(
        "stamps-committed-first",
        "sesacctl/pipeline/refresh/worker.py",
        (
            (
                "                generation = publish(",
                "                postgres.commit()\n                generation = publish(",
            ),
        ),
        (f"{_CACHE_FAULTS}::test_a_full_redis_keeps_the_old_hash_and_all_stamps",),
    ),
    Plant(
        "round-recorded-before-its-commit",
        "sesacctl/pipeline/refresh/worker.py",
        (
            (
                "                postgres.commit()\n        except",
                "                self._record(pick)\n                postgres.commit()\n        except",
            ),
            ("            raise\n        self._record(pick)\n", "            raise\n"),
        ),
        (f"{_CACHE_REFRESH}::test_a_round_whose_commit_fails_is_not_recorded",),
    ),
    Plant(
        "refresh-gate-removed",
        "sesacctl/pipeline/refresh/statement.py",
        (("SELECT pg_try_advisory_xact_lock({GATE}) AS open", "SELECT {GATE} > 0 AS open"),),
        (f"{_CACHE_REFRESH}::test_a_round_is_skipped_while_another_one_runs",),
    ),
    Plant(
        "reset-aging-without-the-gate",
        "sesacctl/pipeline/refresh/statement.py",
        (('        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (GATE,))\n', ""),),
        (f"{_CACHE_LOOP}::test_reset_aging_waits_for_a_refresh",),
    ),
    Plant(
        "newest-rows-first",
        "sesacctl/pipeline/refresh/statement.py",
        (
            (
                "WHERE last_cached_at IS NOT NULL AND (SELECT open FROM gate) ORDER BY last_cached_at LIMIT",
                "WHERE last_cached_at IS NOT NULL AND (SELECT open FROM gate) ORDER BY last_cached_at DESC LIMIT",
            ),
        ),
        (f"{_CACHE_REFRESH}::test_aging_bounds_every_wait_while_new_rows_arrive",),
    ),
    Plant(
        "stamps-behind-a-clock-set-back",
        "sesacctl/pipeline/refresh/statement.py",
        (("SELECT greatest(now(), max(last_cached_at) + interval '1 microsecond') AS at", "SELECT now() AS at"),),
        (f"{_CACHE_REFRESH}::test_a_clock_jump_does_not_change_the_order_of_rows",),
    ),
    Plant(
        "heart-beats-always",
        "sesacctl/heartbeat.py",
        (("        return self.seconds_left >= 0", "        return self.seconds_left >= -1e9"),),
        (f"{_HEARTBEAT}::test_a_loop_lives_until_its_next_beat_is_overdue",),
    ),
    Plant(
        "hung-loop-beats",
        "sesacctl/pipeline/refresh/worker.py",
        (
            (
                "            heartbeat.beat(period + ROUND_SECONDS)\n",
                "            heartbeat.beat(1e6 * period + ROUND_SECONDS)\n",
            ),
        ),
        (f"{_CACHE_LOOP}::test_the_loop_writes_heartbeats",),
    ),
)
