"""Bytes to a topic as they are, whatever they are: what other applications may send."""

from __future__ import annotations

from collections.abc import Iterable

from sesacctl.broker.clients import producer
from sesacctl.broker.errors import translate_errors
from sesacctl.settings import Settings

DELIVERY_SECONDS = 30.0


def send(settings: Settings, topic: str, messages: Iterable[tuple[bytes | None, bytes | None]], *, mark: str) -> int:
    """Send keys and values, each with a header `mark`; how many Kafka has acknowledged, which is all.

    Raises:
        ServerUnreachable: no broker answers in time.
        ServerRefused: Kafka refused.
        TopicMissing: the topic does not exist.
    """
    client = producer(settings, delivery_seconds=DELIVERY_SECONDS)
    try:
        with translate_errors(settings):
            # kafka-python takes no record that has neither key nor value.
            sent = [
                client.send(topic, value=value, key=b"" if key is value is None else key, headers=[(mark, b"")])
                for key, value in messages
            ]
            for future in sent:
                future.get(DELIVERY_SECONDS)
    finally:
        client.close(timeout=DELIVERY_SECONDS)
    return len(sent)
