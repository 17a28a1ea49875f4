"""What is released has the same bytes wherever and whenever it is built, and a bill of what is in it."""

from __future__ import annotations

import os
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sesacctl import __version__
from tests.helpers.documents import ROOT
from tests.release import bill, build

EPOCH = 1_790_000_000
# What a build reads; other tests' leftovers are not in it.
READ = ("sesacctl", "migrations", "deploy", "docs", "pyproject.toml", "README.md", "LICENSE", "Makefile", ".gitignore")


def sources(folder: Path, *, mtime: int, umask: int) -> Path:
    """A copy of the sources with these times, and the rights of such a umask."""
    folder.mkdir(parents=True)
    for name in READ:
        if (ROOT / name).is_dir():
            junk = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=junk)
        else:
            shutil.copy(ROOT / name, folder / name)
    for path in folder.rglob("*"):
        if not path.is_symlink():
            path.chmod((0o777 if path.is_dir() or os.access(path, os.X_OK) else 0o666) & ~umask)
            os.utime(path, (mtime, mtime))
    return folder


def test_a_build_has_the_same_bytes_in_any_folder(tmp_path: Path) -> None:
    found = []
    for name, mtime, umask in (("one", 1_000_000_000, 0o022), ("새싹 two", 1_700_000_000, 0o077)):
        made = sources(tmp_path / name / "source", mtime=mtime, umask=umask)
        before = os.umask(umask)
        try:
            found.append(build.sums(build.build(made, tmp_path / name / "dist", EPOCH)))
        finally:
            os.umask(before)
    assert {Path(name).suffix for name in found[0]} == {".whl", ".gz"}
    assert found[0] == found[1]


def test_another_time_gives_other_bytes(tmp_path: Path) -> None:
    made = sources(tmp_path / "source", mtime=1_000_000_000, umask=0o022)
    one, other = (build.sums(build.build(made, tmp_path / str(epoch), epoch)) for epoch in (EPOCH, EPOCH + 86_400))
    assert one.keys() == other.keys()
    assert all(one[name] != other[name] for name in one)


@pytest.fixture
def found() -> dict[str, Any]:
    """As cyclonedx-py writes it, in short."""
    own = {"name": "sesacctl", "version": "0", "bom-ref": "sesacctl==0", "externalReferences": [{"url": "file:///a/w"}]}
    rich = {"name": "rich", "version": "15", "purl": "pkg:pypi/rich@15", "licenses": [{"license": {"id": "MIT"}}]}
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": [own, rich]}


def test_the_bill_is_about_this_version_and_names_no_folder(found: dict[str, Any]) -> None:
    document = bill.complete(found, EPOCH)
    subject = document["metadata"]["component"]
    assert (subject["name"], subject["type"], subject["version"]) == ("sesacctl", "application", __version__)
    assert document["metadata"]["timestamp"] == "2026-09-21T14:13:20Z"
    assert "file:" not in str(document)
    assert "sesacctl" not in {each["name"] for each in document["components"]}


def test_the_bill_has_each_jar_with_its_sum(found: dict[str, Any]) -> None:
    document = bill.complete(found, EPOCH)
    jars = [each for each in document["components"] if each["purl"].startswith("pkg:maven/")]
    locked = tomllib.loads((ROOT / "sesacctl" / "stack" / "kafka.lock.toml").read_text("utf-8"))["jar"]
    assert {each["hashes"][0]["content"] for each in jars} == {jar["sha256"] for jar in locked}
    assert {each["scope"] for each in jars} == {"optional"}


def test_licences_are_listed_by_their_short_names() -> None:
    components = [
        {"name": "a", "version": "1", "licenses": [{"license": {"id": "MIT"}}, {"license": {"name": "MIT License"}}]},
        {"name": "B", "version": "2", "licenses": [{"expression": "Apache-2.0 OR MIT"}]},
        {"name": "c", "version": "3", "licenses": [{"license": {"name": "License :: OSI Approved :: BSD License"}}]},
        {"name": "d", "version": "4"},
        {"name": "jar", "version": "5", "purl": "pkg:maven/g/jar@5"},
    ]
    wanted = ["a 1: MIT", "B 2: Apache-2.0 OR MIT", "c 3: BSD License", "d 4: not said by the package"]
    assert bill.licences({"components": components}) == wanted


def test_development_is_a_group_and_no_extra_of_the_package() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "dev" not in document["project"]["optional-dependencies"]
    locked = "\n" + (ROOT / "requirements.lock").read_text("utf-8").lower().replace("_", "-")
    names = [each.partition(">")[0].partition("[")[0].lower() for each in document["dependency-groups"]["dev"]]
    assert [name for name in names if f"\n{name}==" not in locked] == []
