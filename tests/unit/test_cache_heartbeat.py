"""The sign of life of a loop."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from sesacctl.errors import ConfigurationError
from sesacctl.heartbeat import FOLDER, Heartbeat, read_pulses


def test_a_loop_lives_until_its_next_beat_is_overdue(tmp_path: Path) -> None:
    heartbeat = Heartbeat(tmp_path, "loop")
    heartbeat.beat(30.0)
    [pulse] = read_pulses(tmp_path)
    assert pulse.name == "loop"
    assert pulse.alive
    heartbeat.beat(-0.001)
    assert not read_pulses(tmp_path)[0].alive


def test_a_clean_end_leaves_no_file_and_no_loop_none(tmp_path: Path) -> None:
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
def test_a_file_from_before_a_reboot_is_no_loop_and_the_next_start_removes_it(
    tmp_path: Path, change: dict[str, object]
) -> None:
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
