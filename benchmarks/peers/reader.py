"""`python -m benchmarks.peers.reader ORDERS`: how fast librdkafka reads the orders, with nothing done to them.

kcat into /dev/null takes longer, as it connects first; here the clock starts when the connections are open. Prints how
many it has read and how many a second, and ends when its standard input does.
"""

from __future__ import annotations

import sys
import time

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, TopicPartition

from benchmarks.peers.orders import brokers

_TIMES = 3
_PARTITIONS = range(9)


def main() -> None:
    """Read and print."""
    orders = int(sys.argv[1])
    consumer = Consumer(
        {"bootstrap.servers": brokers(), "group.id": "reader", "enable.auto.commit": False, "fetch.wait.max.ms": 10}
    )
    seconds = sum(_read(consumer, orders) for _ in range(_TIMES))
    print(_TIMES * orders, _TIMES * orders / seconds, flush=True)
    sys.stdin.read()
    consumer.close()


def _read(consumer: Consumer, orders: int) -> float:
    consumer.assign([TopicPartition("orders", number, OFFSET_END) for number in _PARTITIONS])
    consumer.consume(1, timeout=1.0)
    begin, read = time.monotonic(), 0
    consumer.assign([TopicPartition("orders", number, OFFSET_BEGINNING) for number in _PARTITIONS])
    while read < orders:
        read += len(consumer.consume(10_000, timeout=1.0))
    return time.monotonic() - begin


if __name__ == "__main__":
    main()
