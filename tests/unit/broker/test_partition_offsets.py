"""Ends of logs that a leader does not know yet."""

from __future__ import annotations

from typing import Any, cast

import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import OffsetNotAvailableError

from sesacctl.broker import offsets as offsets_module
from sesacctl.broker.offsets import partition_offsets

ORDERS = TopicPartition("orders", 0)


class Elected:
    """Stands for an admin client whose brokers know no end for so many requests, as right after an election."""

    def __init__(self, requests: float) -> None:
        self.left = requests

    def list_partition_offsets(self, specs: dict[TopicPartition, Any], **_: Any) -> dict[Any, int]:
        self.left -= 1
        if self.left >= 0:
            raise OffsetNotAvailableError
        return dict.fromkeys(specs, 7)


def offsets(client: Elected) -> Any:
    return partition_offsets(cast("KafkaAdminClient", client), {ORDERS: OffsetSpec.LATEST})


def test_a_leader_that_was_just_chosen_is_asked_again() -> None:
    assert offsets(Elected(2)) == {ORDERS: 7}


def test_one_that_never_knows_its_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offsets_module, "ELECTED_SECONDS", 0.2)
    with pytest.raises(OffsetNotAvailableError):
        offsets(Elected(float("inf")))
