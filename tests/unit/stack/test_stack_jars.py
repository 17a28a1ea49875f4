"""Kafka's jars are what the lock says, however the download went."""

from __future__ import annotations

import hashlib
import re
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sesacctl.errors import JarsMissing, ServerNotStarted
from sesacctl.stack import jars
from sesacctl.stack.jars import Jar, Lock

CONTENT = {"one": b"first jar", "two": b"second jar"}
LOCK = Lock("1.0", tuple(Jar("g", name, "1", hashlib.sha256(body).hexdigest()) for name, body in CONTENT.items()))


class Repository:
    """Stands where jgo does; `bad` answers come first."""

    def __init__(self, *bad: bytes | Exception) -> None:
        self.asked: list[str] = []
        self._bad = list(bad)

    def __call__(self, jar: Jar, folder: Path) -> Path:
        self.asked.append(jar.artifact)
        answer = self._bad.pop(0) if self._bad else CONTENT[jar.artifact]
        if isinstance(answer, Exception):
            raise answer
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / jar.file_name
        path.write_bytes(answer)
        return path


def ensure(folder: Path, repository: Repository, lock: Lock = LOCK) -> list[Path]:
    return jars.ensure(folder, lock, on_step=lambda _: None, cancel=threading.Event(), fetch=repository)


def test_the_committed_lock_names_each_jar_once_with_its_sum() -> None:
    lock = jars.read_lock()
    assert lock.kafka in {jar.version for jar in lock.jars if jar.artifact == "kafka_2.13"}
    assert len({jar.file_name for jar in lock.jars}) == len(lock.jars) > 40
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in lock.jars)


def test_jars_are_fetched_once(tmp_path: Path) -> None:
    repository = Repository()
    assert [path.read_bytes() for path in ensure(tmp_path, repository)] == list(CONTENT.values())
    assert sorted(repository.asked) == ["one", "two"]
    again = Repository()
    assert ensure(tmp_path, again) == [tmp_path / "one-1.jar", tmp_path / "two-1.jar"]
    assert again.asked == []


@pytest.mark.parametrize("left", [b"first", b"", b"first jaR"], ids=["cut short", "empty", "damaged"])
def test_a_damaged_jar_is_fetched_again(tmp_path: Path, left: bytes) -> None:
    ensure(tmp_path, Repository())
    (tmp_path / "one-1.jar").write_bytes(left)
    (tmp_path / "partial-of-a-killed-run").mkdir()
    repository = Repository()
    ensure(tmp_path, repository)
    assert repository.asked == ["one"]
    assert (tmp_path / "one-1.jar").read_bytes() == CONTENT["one"]
    assert not list(tmp_path.glob("partial-*"))


@pytest.mark.parametrize("bad", [b"something else", ConnectionResetError("gone")], ids=["wrong sum", "broken off"])
def test_one_failure_is_tried_again(tmp_path: Path, bad: bytes | Exception) -> None:
    repository = Repository(bad)
    [path] = ensure(tmp_path, repository, Lock("1.0", LOCK.jars[:1]))
    assert repository.asked == ["one", "one"]
    assert path.read_bytes() == CONTENT["one"]


def test_a_jar_with_a_wrong_sum_is_dropped_and_fetched_again(tmp_path: Path) -> None:
    with pytest.raises(ServerNotStarted, match=r"one-1\.jar.*SHA-256") as raised:
        ensure(tmp_path, Repository(b"bad", b"bad"), Lock("1.0", LOCK.jars[:1]))
    assert raised.value.exit_code == 4
    assert list(tmp_path.iterdir()) == []
    assert len(ensure(tmp_path, Repository())) == 2


def test_the_cause_is_named_without_the_libraries_above_it(tmp_path: Path) -> None:
    error = RuntimeError("a wrapper")
    error.__cause__ = ConnectionRefusedError(111, "Connection refused")
    with pytest.raises(ServerNotStarted, match="ConnectionRefusedError") as raised:
        ensure(tmp_path, Repository(error, error), Lock("1.0", LOCK.jars[:1]))
    assert "wrapper" not in str(raised.value)
    assert "network" in str(raised.value.hint)


def test_a_mirror_takes_the_place_of_maven_central(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []

    class Maven:
        def __init__(self, **options: Any) -> None:
            made.append(options)
            raise ConnectionRefusedError

    monkeypatch.setattr(jars, "require", lambda _: SimpleNamespace(MavenContext=Maven))
    for mirror in ("", "https://mirror.example/maven2/"):
        with pytest.raises(ConnectionRefusedError):
            jars.from_repository(mirror)(LOCK.jars[0], tmp_path)
    assert [options["remote_repos"] for options in made] == [None, {"mirror": "https://mirror.example/maven2"}]


def test_whole_jars_of_a_folder_are_copied_others_fetched(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "one-1.jar").write_bytes(CONTENT["one"])
    (source / "two-1.jar").write_bytes(b"damaged")
    repository = Repository()
    brings = jars.from_folder(source, repository)
    jars.ensure(target, LOCK, on_step=lambda _: None, cancel=threading.Event(), fetch=brings)
    assert repository.asked == ["two"]
    assert sorted(path.read_bytes() for path in target.glob("*.jar")) == sorted(CONTENT.values())
    assert (source / "one-1.jar").exists()


def test_missing_jars_are_named_and_the_rest_counted(tmp_path: Path) -> None:
    names = [f"j{number}" for number in range(5)]
    lock = Lock("1.0", tuple(Jar("g", name, "1", "0" * 64) for name in names))
    with pytest.raises(
        JarsMissing, match=r"5 of Kafka's 5 jars .* j0-1\.jar, j1-1\.jar, j2-1\.jar and 2 more"
    ) as raised:
        jars.require_all(tmp_path, lock)
    assert raised.value.exit_code == 4
    assert str(raised.value.hint).startswith("sesacctl fetch")
    ensure(tmp_path, Repository())
    jars.require_all(tmp_path, LOCK)


def test_nothing_is_tried_where_nothing_may_be_fetched(tmp_path: Path) -> None:
    with pytest.raises(JarsMissing, match=r"one-1\.jar"):
        jars.ensure(tmp_path, LOCK, on_step=lambda _: None, cancel=threading.Event(), fetch=jars.from_nowhere)
    assert list(tmp_path.iterdir()) == []
