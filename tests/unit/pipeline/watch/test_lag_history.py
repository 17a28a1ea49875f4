"""Samples of the lag: bounded, kept over restarts, and honest about what they do not cover."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from sesacctl.errors import CheckFailed, ServerUnreachable
from sesacctl.events import ORDERS, PRODUCTS, USERS, Kind
from sesacctl.pipeline.watch import lag_history
from sesacctl.pipeline.watch.lag_history import file_of, read_history, recording
from sesacctl.settings import Settings
from tests.helpers.waiting import wait_until

NOW = 1_795_000_000.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(sesac_home=tmp_path / ".sesac")


def keep(settings: Settings, *ages: float, orders: int = 7) -> None:
    path = file_of(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        for age in ages:
            file.write(json.dumps({"at": NOW - age, "orders": orders, "users": 0, "products": 0}) + "\n")


def lines(settings: Settings) -> list[dict[str, Any]]:
    text = file_of(settings).read_text(errors="replace")
    return [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]


class Looks:
    """A lag that is one more at each look; None in `errors` works."""

    def __init__(self, *errors: Exception | None) -> None:
        self.errors, self.count = list(errors), 0
        self.lock = threading.Lock()

    def __call__(self, _settings: Settings) -> dict[Kind, int]:
        with self.lock:
            self.count += 1
            error = self.errors.pop(0) if self.errors else None
            if error:
                raise error
            return {ORDERS: self.count, USERS: 0, PRODUCTS: 0}


def test_nothing_is_invented_where_no_supervisor_ran(settings: Settings) -> None:
    with pytest.raises(CheckFailed, match=f"no samples of group {settings.kafka_group} .* on this host"):
        read_history(settings, 1800.0, now=NOW)
    keep(settings, 3600.0, 1801.0, -5.0)  # too old, and of a clock that was set back since
    with pytest.raises(CheckFailed):
        read_history(settings, 1800.0, now=NOW)


def test_gaps_are_named_at_the_begin_between_and_at_the_end(settings: Settings) -> None:
    keep(settings, *range(900, 600, -10), *range(300, 100, -10))
    found = read_history(settings, 1800.0, now=NOW)
    assert len(found.samples) == 50
    assert [(NOW - gap.begin.timestamp(), NOW - gap.end.timestamp()) for gap in found.gaps] == [
        (1800.0, 900.0), (610.0, 300.0), (110.0, 0.0),
    ]  # fmt: skip
    keep(settings, *range(100, 0, -10))
    assert read_history(settings, 300.0, now=NOW).gaps == []


def test_a_torn_line_is_passed_over(settings: Settings) -> None:
    keep(settings, 20.0)
    with file_of(settings).open("ab") as file:
        file.write(b'{"at": 17\n\xff\n[]\n{"at": "x", "orders": 1, "users": 1, "products": 1}\n{"at": 1}\n{"at": 179')
    looks = Looks()
    with recording(settings, every=0.01, sample=looks):
        wait_until(lambda: looks.count >= 2, message="it takes samples")
    now = lines(settings)[-1]["at"]
    assert [sample.lag[ORDERS] for sample in read_history(settings, 60.0, now=now).samples][:2] == [1, 2]
    assert len(read_history(settings, now - NOW + 60.0, now=now).samples) == looks.count + 1


def test_samples_are_kept_over_a_restart_and_bounded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag_history, "MOST_SAMPLES", 5)
    monkeypatch.setattr(lag_history, "_SLACK", 2)
    for _ in range(2):
        looks = Looks()
        with recording(settings, every=0.001, sample=looks):
            wait_until(lambda: looks.count >= 20, message="it takes samples")  # noqa: B023
        assert 5 <= len(lines(settings)) <= 8
    assert lines(settings)[-1]["orders"] >= 20
    assert sorted(path.suffix for path in file_of(settings).parent.iterdir()) == [".jsonl", ".lock"]


def test_a_server_that_is_away_is_a_gap_and_no_end(settings: Settings) -> None:
    looks = Looks(None, ServerUnreachable("PostgreSQL is away"), ServerUnreachable("PostgreSQL is away"))
    with recording(settings, every=0.001, sample=looks):
        wait_until(lambda: looks.count >= 5, message="it goes on")
    assert [line["orders"] for line in lines(settings)][:2] == [1, 4]


def test_a_full_disk_stops_nothing_and_is_said_once(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    file_of(settings).mkdir(parents=True)  # a folder takes no line either
    looks = Looks()
    with recording(settings, every=0.001, sample=looks):
        wait_until(lambda: len(caplog.records) or looks.count >= 20, message="it is said")
    assert len([record for record in caplog.records if "no history of the lag" in record.message]) == 1


def test_only_one_process_of_a_host_keeps_samples(settings: Settings) -> None:
    first, second = Looks(), Looks()
    with recording(settings, every=0.01, sample=first):
        wait_until(lambda: first.count >= 2, message="the first takes samples")
        with recording(settings, every=0.01, sample=second):
            seen = first.count
            wait_until(lambda: first.count >= seen + 5, message="the first goes on")
            assert second.count == 0
    with recording(settings, every=0.01, sample=second):
        wait_until(lambda: second.count >= 1, message="the second takes over")


def test_other_groups_have_other_files(settings: Settings) -> None:
    others = [settings.model_copy(update=change) for change in ({"kafka_group": "../x"}, {"kafka_topic_prefix": "a."})]
    files = {file_of(each) for each in (settings, *others)}
    assert len(files) == 3
    assert {path.parent.name for path in files} == {"lag"}
