"""The locks of other versions of Kafka, which `make compat` and tests of others run."""

from __future__ import annotations

import re

import pytest

from sesacctl.errors import UsageError
from sesacctl.stack import jars

OTHERS = jars.versions()[:-1]


def test_each_promised_minor_version_has_a_lock() -> None:
    assert [version.rpartition(".")[0] for version in OTHERS] == ["3.6", "3.7", "3.8", "3.9", "4.0", "4.1"]


def test_a_version_is_the_newest_that_fits() -> None:
    assert jars.newest("3.9") == "3.9.1"
    assert jars.newest("3") == "3.9.1"
    assert jars.newest("4") == jars.newest(jars.read_lock().kafka) == jars.read_lock().kafka
    with pytest.raises(UsageError, match=r"there is no Kafka 3\.1 here"):
        jars.newest("3.1")


@pytest.mark.parametrize("version", OTHERS)
def test_a_lock_takes_the_place_of_the_stacks_own(version: str) -> None:
    lock = jars.read_lock(version)
    assert lock.kafka == version
    assert lock.kafka in {jar.version for jar in lock.jars if jar.artifact == "kafka_2.13"}
    assert len({jar.file_name for jar in lock.jars}) == len(lock.jars) > 40
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in lock.jars)
