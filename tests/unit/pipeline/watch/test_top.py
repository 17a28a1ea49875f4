"""The screen: rates from two looks, the bottleneck from three, and a picture that fits any terminal and language."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta

import pytest
from rich.cells import cell_len
from rich.console import Console

from sesacctl.cli.top_views import Board, View
from sesacctl.pipeline.watch.observation import Observation
from sesacctl.pipeline.watch.probes import Waiting
from sesacctl.pipeline.watch.screen import HostShare, PartitionLine, Screen, Stage
from sesacctl.pipeline.watch.top import HISTORY, Top
from sesacctl.settings import load
from tests.helpers.observations import CACHE, DATABASE, GOOD, KAFKA, NOW, REDIS, cache, kafka, partition, without


def after(seen: Observation = GOOD, *, events: int = 0, stored: int = 0, seconds: float = 2.0) -> Observation:
    """That long after `GOOD`."""
    return replace(seen, at=GOOD.at + seconds, partitions=[partition(end=100 + events, stored=100 + stored)])


def screen(*looks: Observation) -> Screen:
    """The last of these looks."""
    top = Top(load(kafka_group="주문-소비자"))
    return [top.screen(seen) for seen in looks][-1]


def lasting(seen: Observation, *, looks: int = 3, events: int = 0, stored: int = 0) -> list[Observation]:
    """The same for so many looks, two seconds apart; each time so many more events come, and so many are stored."""
    partitions = seen.partitions or []
    return [
        replace(
            seen,
            at=seen.at + 2.0 * number,
            partitions=seen.partitions
            and [
                partition(end=part.log_end + number * events, stored=part.counts.stored + number * stored)
                for part in partitions
            ],
        )
        for number in range(looks)
    ]


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
    assert (stage(shown, "consume").backlog, stage(shown, "consume").age) == (0, 0.4)  # they are young
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


EMPTY = cache(hashes=(CACHE.hashes[0], replace(CACHE.hashes[1], rows=0)))
ALL_EMPTY = cache(hashes=tuple(replace(each, rows=0) for each in CACHE.hashes), generation=None)
FOREIGN = cache(refreshed_at=None, generation=None)
LATE = cache(refreshed_at=NOW - timedelta(minutes=10))
FAR_BEHIND = replace(GOOD, partitions=[partition(end=10_000, stored=100)])


@pytest.mark.parametrize(
    ("looks", "bottleneck", "reason"),
    [
        (lasting(GOOD, events=100, stored=100), None, "every stage keeps up"),
        (lasting(without("Redis"), looks=1), "refresh", "Redis cannot be reached"),
        (lasting(FOREIGN), None, "every stage keeps up"),
        (lasting(EMPTY, looks=1), "cache", "no products in it"),
        (lasting(ALL_EMPTY, looks=1), "cache", "no users and products in it: sesacctl cache refresh"),
        (lasting(LATE), "refresh", "11 rounds late"),
        (lasting(kafka(under_replicated=5)), "broker", "5 partitions under-replicated"),
        (lasting(GOOD, looks=5, events=100), "consume", "300 events waiting, none is stored"),
        (lasting(GOOD, looks=6, events=100, stored=20), "consume", "events waiting, 40 a second come in that are not"),
        (lasting(FAR_BEHIND, looks=4, stored=120), "consume", "at this rate"),
        (lasting(GOOD, looks=5, events=100, stored=99), None, "every stage keeps up"),
    ],
)
def test_the_bottleneck_is_named(looks: list[Observation], bottleneck: str | None, reason: str) -> None:
    shown = screen(*looks)
    assert shown.bottleneck == bottleneck
    assert reason in shown.reason


@pytest.mark.parametrize("seen", [LATE, kafka(under_replicated=5), FAR_BEHIND])
def test_a_slow_stage_is_named_at_the_third_look_that_agrees(seen: Observation) -> None:
    top = Top(load())
    names = [top.screen(look).bottleneck for look in lasting(seen, looks=5)]
    assert names[:2] == [None, None]
    assert names[2:] == [names[-1]] * 3 != [None] * 3
    assert "not sure yet" in screen(*lasting(seen, looks=2)).reason


def test_one_good_look_between_begins_the_count_again() -> None:
    top = Top(load())
    looks = [LATE, LATE, GOOD, LATE, LATE, GOOD]
    found = [top.screen(replace(look, at=100.0 + 2 * n)).bottleneck for n, look in enumerate(looks)]
    assert found == [None, None, None, None, "refresh", None]


def test_a_young_event_does_not_count_as_backlog() -> None:
    """Each second 500 come, and all are stored within a second: at any look, some are on their way."""
    looks = [
        replace(GOOD, at=100.0 + 2 * n, partitions=[partition(end=1_000 * (n + 1), stored=1_000 * n + 600)])
        for n in range(6)
    ]
    shown = screen(*looks)
    assert (shown.bottleneck, stage(shown, "consume").backlog) == (None, 0)
    assert shown.partitions is not None
    assert shown.partitions[0].lag == 400  # there it is said: lag of any age


def test_looks_in_quick_succession_tell_by_the_oldest() -> None:
    looks = [replace(GOOD, at=100.0 + n / 10, partitions=[partition(end=130)]) for n in range(3)]
    shown = screen(*looks)
    assert (shown.bottleneck, stage(shown, "consume").backlog) == ("consume", 30)
    assert stage(screen(looks[0]), "consume").backlog is None


def test_brokers_members_and_dead_letters_are_counted() -> None:
    dead = replace(DATABASE, dead=(Waiting("orders", "conflict", 4, 1.0), Waiting("users", "orphan", 3, 1.0)))
    shown = screen(replace(kafka(brokers=(1, 3), members=8), database=dead))
    assert (shown.brokers_up, shown.brokers, shown.members, shown.dead_letters) == (2, 3, 8, 7)
    assert "2/3 brokers  8 members  7 dead" in "\n".join(lines(shown, 80))
    away = screen(without("Kafka", "PostgreSQL"))
    assert (away.brokers_up, away.members, away.dead_letters) == (None, None, None)
    assert "brokers ?  members ?  dead ?" in "\n".join(lines(away, 80))


def test_without_postgresql_the_figures_of_kafka_stay() -> None:
    gone = without("PostgreSQL")
    looks = [replace(gone, at=100.0 + 2 * n, kafka=replace(KAFKA, ends={("orders", 0): 50 * n})) for n in range(2)]
    shown = screen(*looks)
    assert (stage(shown, "produce").rate, stage(shown, "broker").rate) == (25.0, 25.0)
    assert stage(shown, "broker").problem is None
    assert stage(shown, "consume").problem == "PostgreSQL cannot be reached"
    assert shown.members == 9
    assert shown.partitions is not None
    assert [(line.log_end, line.lag, line.rate) for line in shown.partitions] == [(50, None, None)]


def test_a_missing_server_is_named_and_the_others_are_shown() -> None:
    shown = screen(GOOD, replace(without("PostgreSQL"), at=102.0))
    assert stage(shown, "source").problem == "PostgreSQL cannot be reached"
    assert stage(shown, "cache").problem is None
    assert stage(shown, "cache").rate == 0


def lines(shown: Screen, width: int, height: int = 24, **view: bool) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height)
    console.print(Board(shown, View(**view)))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


HOSTS = [HostShare(host=f"host-{n}", address=f"10.0.0.{n}", members=3, partitions={"orders": 3}) for n in range(12)]
BUSY = replace(
    screen(GOOD, after(events=1_234_567, stored=99_999)),
    database="데이터베이스",
    bottleneck="consume",
    reason="1,234,567 events waiting, 567,284 a second come in that are not stored",
    hosts=HOSTS,
    stages=[
        replace(each, rate=1_234_567.8, age=1e6, backlog=98_765_432, history=(0.0, 5.0, 10.0) * 10)
        for each in screen(GOOD).stages
    ],
    partitions=[
        PartitionLine(
            topic="orders",
            partition=n,
            log_end=10**7,
            lag=n * 1_000,
            rate=1_234.5,
            leader=n % 3,
            in_sync=2,
            replicas=3,
            member=f"sesacctl-{n}",
        )
        for n in range(15)
    ],
)
SIZES = [(40, 10), (40, 24), (60, 10), (80, 10), (80, 24), (100, 24), (120, 10), (120, 60)]


def test_names_and_figures_are_whole_on_a_narrow_screen() -> None:
    shown = lines(BUSY, 40, 24)
    assert any(line.split() == ["rate/s", "age", "backlog"] for line in shown)
    assert any(line.startswith("database") and "98.8M" in line for line in shown)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_it_fits_and_keeps_the_bottleneck(width: int, height: int) -> None:
    shown = lines(BUSY, width, height, keys=True)
    assert max(map(cell_len, shown)) <= width
    assert len(shown) <= height
    text = " ".join(shown)
    assert "bottleneck: consume" in text
    assert "3/3 brokers" in text
    for title in ("refresh", "cache", "produce", "broker", "consume"):
        assert title in text
    assert text.count("98.8M") == 7


def test_the_low_screen_names_the_bottleneck_first() -> None:
    shown = lines(BUSY, 40, 10)
    assert shown[0].endswith("3/3 brokers  9 members  0 dead")
    assert shown[1].startswith("bottleneck: consume: 1,234,567 events")
    assert shown[-1].startswith("database")
    assert len(lines(BUSY, 40, 5)) <= 5


@pytest.mark.parametrize("length", [10, 40, 75, 120, 400])
def test_a_long_reason_is_cut_with_a_mark(length: int) -> None:
    for width, height in SIZES:
        shown = lines(replace(BUSY, reason="word " * (length // 5)), width, height)
        said = [line for line in shown if "word" in line]
        assert len(said) <= 2
        assert len(shown) <= height
        assert " ".join(said).count("word") == length // 5 or said[-1].endswith("…")


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_partitions_fit_and_the_most_lag_is_kept(width: int, height: int) -> None:
    shown = lines(BUSY, width, height, partitions=True)
    assert max(map(cell_len, shown)) <= width
    assert len(shown) <= height
    text = " ".join(shown)
    assert "bottleneck: consume" in text
    assert "orders-14" in text
    assert "14,000" in text
    assert ("sesacctl-14" in text) is (width >= 80)
    assert ("more, with less lag" in text) is (len([line for line in shown if "orders-" in line]) < 15)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_help_explains_every_key(width: int) -> None:
    shown = lines(BUSY, width, 10, help=True)
    assert max(map(cell_len, shown)) <= width
    assert len(shown) <= 10
    assert [line.split()[0] for line in shown[1:5]] == ["q", "p", "space", "?"]
    assert "…" not in "".join(shown)
    assert "events count as lag once they are 2 s old" in " ".join(" ".join(shown).split())


def test_keys_choose_the_view() -> None:
    view = View()
    for key, field in (("p", "partitions"), (" ", "paused"), ("?", "help")):
        view.press(key)
        assert getattr(view, field)
        view.press(key)
        assert not getattr(view, field)
    view.press("x")
    assert view == View()
    assert "paused" in lines(BUSY, 80, paused=True)[0]


def test_eighty_columns_show_the_trend_and_korean_names() -> None:
    text = "\n".join(lines(BUSY, 80))
    assert "▁▄█" in text
    assert "database 데이터베이스, group 주문-소비자" in text
