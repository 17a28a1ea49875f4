"""`sesacctl fetch`: all jars in a folder, whole, from the network, from this user's folder or from another one."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import os
import shutil
import threading
from collections.abc import Callable
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

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


def test_what_downloads_is_needed_only_for_a_download(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jar_folder.fetch()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert jar_folder.fetch(tmp_path / "to carry").fetched == 4
    (tmp_path / "cache" / "jar0-1.jar").unlink()
    with pytest.raises(ConfigurationError, match="not installed"):
        jar_folder.fetch(tmp_path / "other")
    assert not (tmp_path / "other").exists()
    assert sorted(asked) == sorted(CONTENT)


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


@pytest.mark.parametrize("name", ["/dev/null", "n" * 300, "no such folder", "pipes"])
def test_a_source_that_holds_no_files_ends_with_a_sentence(name: str, asked: list[str], tmp_path: Path) -> None:
    (tmp_path / "pipes").mkdir()
    for jar in LOCK.jars:
        os.mkfifo(tmp_path / "pipes" / jar.file_name)
    with pytest.raises(JarsMissing, match=r"4 of Kafka's 4 jars"):
        jar_folder.fetch(tmp_path / "other", source=tmp_path / name)
    assert asked == []


def test_a_disk_that_is_full_is_named(asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(jars, "ensure", full)
    with pytest.raises(ConfigurationError, match="No space left on device") as caught:
        jar_folder.fetch(tmp_path / "other")
    assert caught.value.exit_code == 3
    assert asked == []


class Mirror(SimpleHTTPRequestHandler):
    """A mirror of Maven Central with the jars of the lock below `/maven2`."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        body = next((CONTENT[jar.artifact] for jar in LOCK.jars if self.path == f"/maven2/{self.place(jar)}"), None)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    @staticmethod
    def place(jar: Jar) -> str:
        return f"{jar.group}/{jar.artifact}/{jar.version}/{jar.file_name}"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def test_a_real_mirror_is_asked_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "read_lock", lambda: LOCK)
    monkeypatch.setattr(jars, "cache_folder", lambda: tmp_path / "cache")
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        result = jar_folder.fetch(mirror=f"http://127.0.0.1:{server.server_port}/maven2/")
        server.shutdown()
    assert result.fetched == 4
    assert content(tmp_path / "cache") == CONTENT
    assert {f"/maven2/{Mirror.place(jar)}" for jar in LOCK.jars} <= set(Mirror.asked)


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
