"""Kafka as a library: publish events with their keys, and know what became of them.

>>> from sesacctl.broker import Sender
"""

from sesacctl.broker.kafka_python.producer_batches import Delivery
from sesacctl.broker.sender import Sender
from sesacctl.errors import EventTooLarge

__all__ = ["Delivery", "EventTooLarge", "Sender"]
