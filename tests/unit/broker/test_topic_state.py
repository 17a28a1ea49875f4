"""What `topics describe` makes of what the brokers tell."""

from __future__ import annotations

import io
import re

from rich.console import Console

from sesacctl.broker.topic_state import TopicState, _state
from sesacctl.cli.topics import _states


def described(*partitions: tuple[int, list[int], list[int]]) -> TopicState:
    """From leader, replicas and in-sync replicas of each partition."""
    entries = [
        {"partition_index": number, "leader_id": leader, "replica_nodes": replicas, "isr_nodes": isr}
        for number, (leader, replicas, isr) in enumerate(partitions)
    ]
    configs = {"retention.ms": {"value": "-1"}, "min.insync.replicas": {"value": "2"}}
    return _state({"name": "orders", "topic_id": "x", "partitions": entries[::-1]}, configs, 1_500_000)


def test_partitions_without_replica_or_leader_are_shown() -> None:
    state = described((1, [1, 2, 3], [1, 2, 3]), (2, [2, 3, 1], [2]), (-1, [3, 1, 2], []))
    assert (state.under_replicated, state.leaderless) == (2, 1)
    assert [each.under_replicated for each in state.partitions] == [False, True, True]
    console = Console(width=120, file=io.StringIO(), force_terminal=True)
    with console.capture() as capture:
        console.print(_states([state]))
    row = next(line for line in capture.get().splitlines() if "unlimited" in line)
    assert "1 2 none" in row
    assert "4/9" in row
    assert re.search(r"\x1b\[1;31m +2\x1b", row)
    assert "1.5 MB" in row
