"""Logs as a power loss leaves them: brokers that die together before they have written their end to disk."""

from __future__ import annotations

from tests.helpers.servers import RunningStack

BROKERS = ("kafka-1", "kafka-2", "kafka-3")
# What tells a broker that a log is whole, or how far; it makes the indexes again.
CHECKPOINTS = ("recovery-point-offset-checkpoint", "replication-offset-checkpoint", ".kafka_cleanshutdown")


def cut(stack: RunningStack, topic: str, *, share: float, partition: int = 0) -> None:
    """Kill all brokers at once, keep only the first `share` of a partition's log, and start them again."""
    for broker in BROKERS:
        stack.kill(broker)
    for broker in BROKERS:
        data = stack.home / "data" / broker
        folder = data / f"{topic}-{partition}"
        for log in folder.glob("*.log"):
            with log.open("r+b") as file:
                file.truncate(int(log.stat().st_size * share))
        for index in (*folder.glob("*.index"), *folder.glob("*.timeindex")):
            index.unlink()
        for name in CHECKPOINTS:
            (data / name).unlink(missing_ok=True)
    stack.up()
