"""What is offered for a value: by the parameter's name, in time, and without a word when it fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from sesacctl.cli import completion
from sesacctl.pipeline.repair import letter_ids
from sesacctl.pipeline.repair.letter_ids import LetterId
from tests.helpers.command_line import commands
from tests.helpers.waiting import within

LEAVES = dict(commands())


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    yield
    logging.disable(logging.NOTSET)


def offered(name: str, parameter: str, incomplete: str = "") -> list[str]:
    """The values; the parameter's name is that in Python."""
    [param] = [each for each in LEAVES[name].params if each.name == parameter]
    items: list[Any] = param.shell_complete(None, incomplete)
    return [item.value for item in items]


@pytest.mark.parametrize(
    ("name", "parameter", "incomplete", "values"),
    [
        ("stack logs", "server", "kafka", ["kafka-1", "kafka-2", "kafka-3"]),
        ("consume", "topics_wanted", "", ["orders", "users", "products"]),
        ("consume", "topics_wanted", "orders,", ["orders,users", "orders,products"]),
        ("consume", "start", "e", ["earliest"]),
        ("offsets reset", "to", "", ["earliest", "latest"]),
        ("dlq list", "reason", "wrong", ["wrong_event", "wrong_key"]),
        ("db downgrade", "revision", "b", ["base"]),
        ("db migrate", "revision", "0001", ["0001"]),
        ("cache sample", "which", "u", ["users"]),
    ],
)
def test_values_are_offered(name: str, parameter: str, incomplete: str, values: list[str]) -> None:
    assert offered(name, parameter, incomplete) == values


def test_partitions_and_positions_are_those_of_the_topics() -> None:
    offers = completion._OFFERS
    assert [value for value, _ in offers["partition"]("")] == [str(number) for number in range(9)]
    assert ("orders-8@", "") in offers["at"]("orders")
    assert list(offers["at"]("orders-8@")) == []


def test_dead_letters_are_offered_with_their_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letter_ids, "newest", lambda *_, **__: [LetterId(7, "orders", 3, 17, "conflict")])
    [param] = [each for each in LEAVES["dlq show"].params if each.name == "letter_id"]
    [item] = param.shell_complete(None, "")
    assert (item.value, item.help) == ("7", "conflict orders-3@17")


def test_a_server_that_is_slow_offers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(completion, "LIMIT_SECONDS", 0.1)
    monkeypatch.setattr(letter_ids, "newest", lambda *_, **__: answer.wait(50) or [])
    with within(1.0, "completion"):
        assert offered("dlq show", "letter_id") == []
    answer.set()


def test_a_bug_offers_nothing_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        logging.getLogger("sesacctl").error("not for a shell")
        raise ZeroDivisionError

    monkeypatch.setattr(letter_ids, "newest", fail)
    assert offered("dlq show", "letter_id") == []
    assert capsys.readouterr() == ("", "")
