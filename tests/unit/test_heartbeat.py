"""Signs of life of several loops, and how often one writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sesacctl import heartbeat as heartbeat_module
from sesacctl.errors import ConfigurationError
from sesacctl.heartbeat import FOLDER, Heartbeat, read_pulses


def names(home: Path) -> list[str]:
    return [pulse.name for pulse in read_pulses(home)]


def write(home: Path, name: str, pid: int, *, good_for: float) -> None:
    """A file as another process leaves it."""
    (home / FOLDER).mkdir(exist_ok=True)
    document = {"pid": pid, "at": time.monotonic(), "good_for": good_for}
    (home / FOLDER / f"{name}.json").write_text(json.dumps(document))


def gone() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    return process.pid


def test_a_second_loop_gets_a_number_and_spares_the_first(tmp_path: Path) -> None:
    write(tmp_path, "produce", os.getppid(), good_for=60)
    with Heartbeat(tmp_path, "produce") as second:
        second.beat(60)
        assert names(tmp_path) == ["produce-2", "produce"]
    assert names(tmp_path) == ["produce"]
    assert read_pulses(tmp_path)[0].pid == os.getppid()


def test_a_loop_lives_from_its_start_on_and_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat_module, "_runs", lambda _: True)
    with Heartbeat(tmp_path, "produce"), Heartbeat(tmp_path, "produce"):
        assert names(tmp_path) == ["produce-2", "produce"]
        assert all(pulse.alive for pulse in read_pulses(tmp_path))


def test_loops_that_start_at_once_have_a_name_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat_module, "_runs", lambda _: True)
    together = threading.Barrier(12)

    def start() -> None:
        together.wait(10)
        Heartbeat(tmp_path, "produce")

    threads = [threading.Thread(target=start) for _ in range(together.parties)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(tmp_path)) == together.parties


@pytest.mark.parametrize("good_for", [60.0, -1.0])
def test_the_name_of_one_that_was_killed_is_free_again(tmp_path: Path, good_for: float) -> None:
    write(tmp_path, "produce", gone(), good_for=good_for)
    with Heartbeat(tmp_path, "produce") as heartbeat:
        heartbeat.beat(60)
        [pulse] = read_pulses(tmp_path)
        assert (pulse.name, pulse.pid, pulse.alive) == ("produce", os.getpid(), True)


def test_the_end_removes_it_even_when_the_loop_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Heartbeat(tmp_path, "produce") as heartbeat:
        heartbeat.beat(60)
        raise ZeroDivisionError
    assert names(tmp_path) == []


def test_beating_often_writes_only_now_and_then(tmp_path: Path) -> None:
    path = tmp_path / FOLDER / "produce.json"
    with Heartbeat(tmp_path, "produce") as heartbeat:
        heartbeat.beat(1000)
        first = path.read_text()
        heartbeat.beat(1000)
        assert path.read_text() == first
        heartbeat.beat(0.001)  # another promise
        assert path.read_text() != first


def test_a_loop_lives_until_its_next_beat_is_overdue(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path, "loop")
    heartbeat.beat(30.0)
    [pulse] = read_pulses(tmp_path)
    assert pulse.name == "loop"
    assert pulse.alive
    heartbeat.beat(-0.001)
    assert not read_pulses(tmp_path)[0].alive


def test_a_clean_end_leaves_no_file(tmp_path: Path) -> None:
    assert read_pulses(tmp_path) == ()
    Heartbeat(tmp_path, "loop").remove()
    assert list((tmp_path / FOLDER).glob("[!.]*")) == []


def test_the_wall_clock_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Heartbeat(tmp_path, "loop").beat(30.0)
    now = time.time()
    for ahead in (3600.0, -3600.0):
        monkeypatch.setattr(time, "time", lambda ahead=ahead: now + ahead)
        assert read_pulses(tmp_path)[0].alive


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": 1}'])
def test_a_damaged_file_is_a_dead_loop(tmp_path: Path, content: str) -> None:
    Heartbeat(tmp_path, "loop")
    (tmp_path / FOLDER / "loop.json").write_text(content)
    assert not read_pulses(tmp_path)[0].alive


@pytest.mark.parametrize("change", [{"at": time.monotonic() + 1e6}, {"boot": "another"}])
def test_a_file_from_before_a_reboot_is_ignored_and_removed(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / FOLDER / "loop-2.json"
    Heartbeat(tmp_path, "loop").remove()
    path.write_text(json.dumps({"pid": 1, "at": time.monotonic() - 1, "good_for": 60.0} | change))
    assert read_pulses(tmp_path) == ()
    Heartbeat(tmp_path, "loop")
    assert not path.exists()
    assert [pulse.name for pulse in read_pulses(tmp_path)] == ["loop"]


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file where the folder should be")
    with pytest.raises(ConfigurationError, match="SESAC_HOME"):
        Heartbeat(tmp_path, "loop")


def test_what_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Heartbeat(tmp_path, "produce") as heartbeat:
        in_the_way = tmp_path / FOLDER / f"produce.{os.getpid()}"
        for _ in range(2):
            in_the_way.mkdir()
            for number in range(20):
                heartbeat.beat(good_for=10.0 + number)
            in_the_way.rmdir()
            heartbeat.beat(good_for=5.0)
    assert len(caplog.records) == 2
