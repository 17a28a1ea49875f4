"""What may have been removed lawfully, by the time in an id."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sesacctl.pipeline.audit.removals import Removals

ID = "019ad3f0-5c1e-7a44-9d0b-3f6f0c1b2a3d"
MADE_AT = datetime.fromtimestamp(0x019AD3F05C1E / 1000, UTC)


@pytest.mark.parametrize(
    ("order_id", "days", "explained"),
    [
        (ID, 1, 1),
        (ID, -1, 0),
        ("o1", -1, 1),  # of which nothing can be said
        ("d1db75c4-95d2-4340-8b64-b5acc2a9ca4d", -1, 1),
        ("ffffffff-ffff-7fff-bfff-ffffffffffff", -1, 1),  # of a year that no datetime holds
    ],
)
def test_what_pruning_may_explain(order_id: str, days: int, explained: int) -> None:
    before = MADE_AT + timedelta(days=days)
    found = Removals(pruned=5, pruned_before=before, removed=0, users={}, erased=0)
    assert found.explain_ids([order_id], 1) == explained
