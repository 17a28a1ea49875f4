"""The counters of `sink_offsets` and its statements are in one place each."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

import pytest

from sesacctl.database.models import Base
from sesacctl.pipeline.sink import offsets
from sesacctl.pipeline.sink.counts import COUNTERS, Counter, Counts
from tests.helpers.documents import ROOT

PACKAGE = ROOT / "sesacctl"
STATEMENT = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE|TABLE) (?:sink_offsets|\{offsets\.TABLE\})")


def test_counters_are_fields_and_columns() -> None:
    assert {entry.name for entry in fields(Counts)} == {*COUNTERS, "unknown_fields", "ahead"}
    assert {*COUNTERS, "ahead"} <= {column.name for column in Base.metadata.tables[offsets.TABLE].columns}


@pytest.mark.parametrize("counter", COUNTERS)
def test_a_move_changes_two_counters_and_no_sum(counter: Counter) -> None:
    counts = Counts(3, 3, 3, 3, 3, 3, ahead=1)
    counts.move("parked" if counter != "parked" else "dead", counter)
    assert (getattr(counts, counter), counts.offsets, counts.ahead) == (4, 3 * len(COUNTERS), 1)


@pytest.mark.parametrize("counter", COUNTERS)
def test_each_counter_accounts_for_offsets(counter: Counter) -> None:
    figures: dict[str, Any] = {counter: 2}
    assert Counts(**figures).offsets == 2


def test_every_statement_on_the_offsets_is_in_their_module() -> None:
    found = {
        path.relative_to(PACKAGE).as_posix(): STATEMENT.findall(path.read_text()) for path in PACKAGE.rglob("*.py")
    }
    # The audit's snapshot and a restore begin with a lock on several tables.
    assert {name: statements for name, statements in found.items() if statements} == {
        "pipeline/audit/row_counts.py": ["TABLE {offsets.TABLE}"],
        "pipeline/repair/restore.py": ["TABLE {offsets.TABLE}"],
    }
