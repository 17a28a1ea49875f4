"""Kafka as a library: publish events with their keys, and know what became of them.

>>> from sesacctl.broker import Sender
"""

from sesacctl.broker.sender import Sender

__all__ = ["Sender"]
