"""What kafka-python's producer knows and does, and has no public way to ask for."""

from __future__ import annotations

from kafka import KafkaProducer


def stop_sending(client: KafkaProducer, seconds: float) -> None:
    """Fail what is in flight and end the network thread; `KafkaProducer.close` would raise, and keep sending."""
    client._sender.force_close()
    client._sender.join(seconds)


def set_linger(client: KafkaProducer, milliseconds: int) -> None:
    """How long a batch waits for more records from now on; kafka-python looks at it each time."""
    client._accumulator.config["linger_ms"] = milliseconds


def is_refused(client: KafkaProducer) -> bool:
    """Whether the brokers will take nothing more from this producer."""
    return bool(client._transaction_manager.has_fatal_error())


def knows_topic(client: KafkaProducer, topic: str) -> bool:
    """Whether the topic is in the metadata that the producer has now."""
    return topic in client._metadata.topics()
