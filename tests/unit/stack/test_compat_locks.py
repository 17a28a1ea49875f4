"""The locks of other versions of Kafka that `make compat` runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sesacctl.stack import jars
from tests.helpers.documents import ROOT

LOCKS = sorted((ROOT / "tests" / "compat").glob("kafka-*.lock.toml"))


def test_each_promised_minor_version_has_a_lock() -> None:
    assert [".".join(lock.name.split(".")[:2]) for lock in LOCKS] == [
        f"kafka-{version}" for version in ("3.6", "3.7", "3.8", "3.9", "4.0", "4.1")
    ]


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_a_lock_takes_the_place_of_the_stacks_own(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jars, "LOCK", str(path))
    lock = jars.read_lock()
    assert path.name == f"kafka-{lock.kafka}.lock.toml"
    assert lock.kafka in {jar.version for jar in lock.jars if jar.artifact == "kafka_2.13"}
    assert len({jar.file_name for jar in lock.jars}) == len(lock.jars) > 40
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in lock.jars)
