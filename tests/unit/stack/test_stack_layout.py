"""The stack's folder: what is written there can be read again, and only what is ours is deleted."""

from __future__ import annotations

import json
import os
import stat
import time
from pathlib import Path

import pytest

from sesacctl import settings
from sesacctl.errors import ConfigurationError
from sesacctl.pipeline.supervise.member_ids import Identity
from sesacctl.stack import stack
from sesacctl.stack.layout import Layout, State


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "길 이 있다" / ".sesac")
    layout.create()
    return layout


def test_settings_read_what_the_stack_wrote(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESAC_HOME", str(layout.home))
    values = {"POSTGRES_HOST": str(layout.home / "socket"), "REDIS_PORT": "6400"}
    layout.write_environment(values)
    assert layout.read_environment() == values
    assert settings.load().postgres_host == values["POSTGRES_HOST"]
    assert settings.load().redis_port == 6400
    assert stat.S_IMODE(layout.environment.stat().st_mode) == 0o600


def test_state_is_kept(layout: Layout) -> None:
    state = State(cluster_id="abc", valkey_port=1, kafka_ports=[[1, 2], [3, 4], [5, 6]], socket_folder="/x")
    layout.save(state)
    assert layout.load() == state


@pytest.mark.parametrize("text", ["", "{", "[]", '{"unknown": 1}', '{"cluster_id": '])
def test_a_damaged_state_is_chosen_again(layout: Layout, text: str) -> None:
    (layout.home / "stack.json").write_text(text)
    assert layout.load() == State()


def test_a_long_path_has_its_socket_elsewhere(tmp_path: Path) -> None:
    layout = Layout(tmp_path.joinpath(*["long-folder-name"] * 6))
    layout.create()
    folder = layout.choose_socket_folder("")
    assert len(f"{folder}/.s.PGSQL.5432.lock") <= 103
    assert layout.choose_socket_folder(folder) == folder, "the same one again"
    layout.save(State(socket_folder=folder))
    layout.purge()
    assert not Path(folder).exists()


@pytest.mark.parametrize("awkward", ["a,b", "a$b", "a'b"])
def test_an_awkward_path_has_its_socket_elsewhere(tmp_path: Path, awkward: str) -> None:
    folder = Layout(tmp_path / awkward).choose_socket_folder("")
    assert awkward not in folder
    Path(folder).rmdir()


def test_a_short_path_has_its_socket_inside(short_path: Path) -> None:
    layout = Layout(short_path / "길 이")
    assert layout.choose_socket_folder("elsewhere") == str(layout.home / "socket")


def test_a_folder_with_foreign_data_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(ConfigurationError, match="not sesacctl's"):
        stack.up(tmp_path)
    assert stack.down(tmp_path, purge=True).purged is False
    assert (tmp_path / "data").exists()


def test_purge_deletes_only_the_stacks_own_files(layout: Layout) -> None:
    foreign = layout.home / "notes.txt"
    foreign.write_text("mine")
    layout.purge()
    assert [path.name for path in layout.home.iterdir()] == ["notes.txt"]


def test_purge_deletes_what_loops_have_left(layout: Layout) -> None:
    with Identity(layout.home):
        pass
    died = layout.home / "heartbeats" / "consume-0.json"
    died.parent.mkdir()
    died.write_text("{")
    (layout.home / "lag").mkdir()
    for name in ("00000001.jsonl", "00000001.lock"):
        (layout.home / "lag" / name).write_text("")
    assert layout.purge() == []
    assert not layout.home.exists()


def test_purge_leaves_what_a_running_loop_uses(layout: Layout) -> None:
    beat = {"pid": os.getppid(), "at": time.monotonic(), "good_for": 60.0}
    folder = layout.home / "heartbeats"
    folder.mkdir()
    (folder / "consume-0.json").write_text(json.dumps(beat))
    (folder / "produce.json").write_text(json.dumps({**beat, "good_for": -1.0}))
    with Identity(layout.home) as identity:
        assert layout.purge() == [folder / "consume-0.json", identity.path]
        assert identity.path.exists()
    assert sorted(path.name for path in layout.home.rglob("*")) == [
        "0.id", "consume-0.json", "heartbeats", "supervisors"
    ]  # fmt: skip


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="Not a directory") as raised:
        stack.up(tmp_path / "file" / "home")
    assert raised.value.exit_code == 3
    assert "SESAC_HOME" in str(raised.value.hint)
