"""`sesacctl fetch`: all jars in a folder, whole, from the network, from this user's folder or from another one."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sesacctl.cli import app
from sesacctl.errors import ConfigurationError, JarsMissing, ServerNotStarted, UsageError
from sesacctl.stack import jar_folder, jars, stack
from sesacctl.stack.jars import Jar, Lock

CONTENT = {f"jar{number}": f"content {number}".encode() for number in range(4)}
LOCK = Lock("4.9", tuple(Jar("g", name, "1", hashlib.sha256(body).hexdigest()) for name, body in CONTENT.items()))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The jars that were downloaded, of four; this user's folder of jars is `tmp_path/cache`."""
    names: list[str] = []

    def from_repository(mirror: str = "") -> Callable[[Jar, Path], Path]:
        def fetch(jar: Jar, folder: Path) -> Path:
            names.append(mirror + jar.artifact)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / jar.file_name).write_bytes(CONTENT[jar.artifact])
            return folder / jar.file_name

        return fetch

    monkeypatch.setattr(jars, "read_lock", lambda: LOCK)
    monkeypatch.setattr(jars, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(jars, "from_repository", from_repository)
    return names


def content(folder: Path) -> dict[str, bytes]:
    return {path.name.removesuffix("-1.jar"): path.read_bytes() for path in folder.glob("*.jar")}


def test_all_jars_come_once_and_are_counted(asked: list[str], tmp_path: Path) -> None:
    first, second = jar_folder.fetch(), jar_folder.fetch()
    assert (first.kafka, first.jars, first.fetched, second.fetched) == ("4.9", 4, 4, 0)
    assert Path(first.folder) == tmp_path / "cache"
    assert content(tmp_path / "cache") == CONTENT
    assert sorted(asked) == sorted(CONTENT)


def test_what_this_user_has_is_copied_and_not_downloaded(asked: list[str], tmp_path: Path) -> None:
    jar_folder.fetch()
    asked.clear()
    (tmp_path / "cache" / "jar2-1.jar").write_bytes(b"damaged")
    result = jar_folder.fetch(tmp_path / "to carry", mirror="m:")
    assert (result.folder, result.fetched) == (str(tmp_path / "to carry"), 4)
    assert asked == ["m:jar2"]
    assert content(tmp_path / "to carry") == CONTENT


def test_a_carried_folder_needs_no_network(asked: list[str], tmp_path: Path) -> None:
    jar_folder.fetch(tmp_path / "carried")
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    asked.clear()
    result = jar_folder.fetch(source=tmp_path / "carried")
    assert (result.folder, result.fetched) == (str(tmp_path / "cache"), 4)
    assert content(tmp_path / "cache") == CONTENT
    assert asked == []


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["gone", "empty"])
def test_a_carried_folder_that_is_not_whole_is_refused(
    damage: Callable[[Path], object], asked: list[str], tmp_path: Path
) -> None:
    jar_folder.fetch(tmp_path / "carried")
    damage(tmp_path / "carried" / "jar1-1.jar")
    asked.clear()
    with pytest.raises(JarsMissing, match=r"1 of Kafka's 4 jars .*jar1-1\.jar"):
        jar_folder.fetch(tmp_path / "other", source=tmp_path / "carried")
    assert asked == []
    assert not (tmp_path / "other").exists()


def test_a_folder_that_is_taken_from_itself_is_refused(asked: list[str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="both"):
        jar_folder.fetch(tmp_path / "cache", source=tmp_path / "cache")
    assert asked == []


def test_a_folder_that_cannot_be_written_is_named(asked: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"cannot keep Kafka's jars in .*file"):
        jar_folder.fetch(tmp_path / "file" / "jars")
    assert asked == []


def test_offline_without_jars_starts_nothing(asked: list[str], tmp_path: Path) -> None:
    with pytest.raises(ServerNotStarted, match=r"4 of Kafka's 4 jars are missing") as caught:
        stack.up(tmp_path / ".sesac", offline=True)
    assert (caught.value.exit_code, caught.value.hint) == (4, "sesacctl fetch, where there is a network")
    assert asked == []
    assert list(tmp_path.iterdir()) == []


def test_the_command_names_the_next_one(asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESAC_MAVEN_MIRROR", "https://mirror.example/maven2")
    there = CliRunner().invoke(app.build(), ["fetch", "--to", "to carry"])
    assert there.exit_code == 0, there.output
    assert "next: sesacctl fetch --from 'to carry'" in there.stderr
    assert set(asked) == {f"https://mirror.example/maven2{name}" for name in CONTENT}
    here = CliRunner().invoke(app.build(), ["fetch", "--from", "to carry", "-o", "json"])
    assert '"fetched": 4' in here.stdout
    assert "next: sesacctl up --offline" in here.stderr
