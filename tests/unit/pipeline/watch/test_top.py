"""The screen: rates from two looks, the bottleneck, and a picture that fits 80 columns in any language."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta

import pytest
from rich.cells import cell_len
from rich.console import Console

from sesacctl.cli.top import Board
from sesacctl.pipeline.watch.observation import Observation
from sesacctl.pipeline.watch.top import HISTORY, Screen, Stage, Top
from sesacctl.settings import load
from tests.helpers.observations import CACHE, DATABASE, GOOD, NOW, REDIS, cache, kafka, partition, without


def after(seen: Observation = GOOD, *, events: int = 0, stored: int = 0, seconds: float = 2.0) -> Observation:
    """That long after `GOOD`."""
    return replace(seen, at=GOOD.at + seconds, partitions=[partition(end=100 + events, stored=100 + stored)])


def screen(*looks: Observation) -> Screen:
    """The last of these looks."""
    top = Top(load(kafka_group="주문-소비자"))
    for seen in looks:
        shown = top.screen(seen)
        top._last = seen
    return shown


def stage(shown: Screen, key: str) -> Stage:
    [found] = [each for each in shown.stages if each.key == key]
    return found


def test_the_stages_are_the_loop() -> None:
    shown = screen(GOOD)
    assert [each.key for each in shown.stages] == ["source", "refresh", "cache", "produce", "broker", "consume", "sink"]
    assert [each.title for each in shown.stages][::6] == ["database", "database"]
    assert {each.rate for each in shown.stages} == {None}


def test_rates_are_changes_per_second() -> None:
    redis = replace(REDIS, commands=1100, cache=replace(CACHE, generation=8))
    database = replace(DATABASE, inserted={"users": 10_010, "products": 20_000})
    shown = screen(GOOD, replace(after(events=50, stored=40), redis=redis, database=database))
    rates = {each.key: each.rate for each in shown.stages}
    assert rates == {
        "source": 5.0,
        "refresh": 1000.0,
        "cache": 50.0,
        "produce": 25.0,
        "broker": 25.0,
        "consume": 20.0,
        "sink": 20.0,
    }


def test_a_round_counts_as_many_rows_as_the_cache_has_now() -> None:
    fewer = (CACHE.hashes[0], replace(CACHE.hashes[1], rows=400))
    redis = replace(REDIS, cache=replace(CACHE, generation=8, hashes=fewer))
    assert stage(screen(GOOD, replace(after(), redis=redis)), "refresh").rate == 700.0
    redis = replace(REDIS, cache=replace(CACHE, hashes=fewer))
    assert stage(screen(GOOD, replace(after(), redis=redis)), "refresh").rate == 0.0


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"db_type": "rds", "rds_user": "u", "rds_password": "p", "rds_host": "h", "rds_db": "of_rds"}, "of_rds"),
        ({"db_type": "supabase", "supabase_direct_url": "postgresql://u:p@h/of_supabase"}, "of_supabase"),
        ({"postgres_db": "of_local"}, "of_local"),
    ],
)
def test_the_database_is_the_one_in_use(values: dict[str, str], name: str) -> None:
    assert Top(load(**values)).screen(GOOD).database == name


def test_ages_and_backlogs() -> None:
    never = replace(after(events=50, stored=40), database=replace(DATABASE, never_cached={"users": 3, "products": 4}))
    shown = screen(GOOD, never)
    assert stage(shown, "source").age == 1000.0
    assert stage(shown, "source").backlog == 7
    assert stage(shown, "refresh").age == 10.0
    assert (stage(shown, "consume").backlog, stage(shown, "consume").age) == (10, 0.4)
    assert stage(shown, "sink").age == 1.0
    assert stage(screen(cache(refreshed_at=NOW - timedelta(seconds=170))), "refresh").backlog == 2
    short = cache(hashes=(CACHE.hashes[0], replace(CACHE.hashes[1], rows=400)))
    assert stage(screen(short), "cache").backlog == 600


def test_a_restarted_counter_has_no_rate() -> None:
    shown = screen(GOOD, replace(after(), redis=replace(REDIS, commands=3)))
    assert stage(shown, "cache").rate is None


def test_history_is_bounded() -> None:
    looks = [after(seconds=2.0 * number, events=10 * number) for number in range(1, HISTORY + 10)]
    shown = screen(GOOD, *looks)
    assert stage(shown, "broker").history == (5.0,) * HISTORY


@pytest.mark.parametrize(
    ("seen", "bottleneck", "reason"),
    [
        (after(events=100, stored=100), None, "every stage keeps up"),
        (after(without("Redis")), "refresh", "Redis cannot be reached"),
        (after(cache(refreshed_at=None, generation=None)), None, "every stage keeps up"),  # another program's
        (after(cache(hashes=(CACHE.hashes[0], replace(CACHE.hashes[1], rows=0)))), "cache", "no products in it"),
        (
            after(cache(hashes=tuple(replace(each, rows=0) for each in CACHE.hashes), generation=None)),
            "cache",
            "no users and products in it: sesacctl cache refresh",
        ),
        (after(cache(refreshed_at=NOW - timedelta(minutes=10))), "refresh", "11 rounds late"),
        (after(kafka(under_replicated=5)), "broker", "5 partitions under-replicated"),
        (after(events=100), "consume", "100 events waiting, none is stored"),
        (after(events=100, stored=20), "consume", "80 events waiting, 40 a second come in that are not stored"),
        (
            replace(after(), partitions=[partition(end=1000, stored=120)]),
            "consume",
            "880 events waiting",
        ),
        (after(events=100, stored=99), None, "every stage keeps up"),
    ],
)
def test_the_bottleneck_is_named(seen: Observation, bottleneck: str | None, reason: str) -> None:
    shown = screen(GOOD, seen)
    assert shown.bottleneck == bottleneck
    assert reason in shown.reason


def test_a_missing_server_is_named_and_the_others_are_shown() -> None:
    shown = screen(GOOD, replace(without("PostgreSQL"), at=102.0))
    assert stage(shown, "source").problem == "PostgreSQL cannot be reached"
    assert stage(shown, "cache").problem is None
    assert stage(shown, "cache").rate == 0


def lines(shown: Screen, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(Board(shown))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


BUSY = replace(
    screen(GOOD, after(events=1_234_567, stored=99_999)),
    database="데이터베이스",
    stages=[
        replace(each, rate=1_234_567.8, age=1e6, backlog=98_765_432, history=(0.0, 5.0, 10.0) * 10)
        for each in screen(GOOD).stages
    ],
)


@pytest.mark.parametrize("width", [80, 100, 40, 60])
def test_it_fits(width: int) -> None:
    shown = lines(BUSY, width)
    assert max(map(cell_len, shown)) <= width
    assert len(shown) <= 24
    text = "\n".join(shown)
    assert "bottleneck: consume" in text
    for title in ("refresh", "cache", "produce", "broker", "consume"):
        assert title in text
    assert text.count("98.8M") == 7


def test_eighty_columns_show_the_trend_and_korean_names() -> None:
    text = "\n".join(lines(BUSY, 80))
    assert "▁▄█" in text
    assert "database 데이터베이스, group 주문-소비자" in text
