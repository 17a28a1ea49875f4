"""`server.properties` and log4j settings of the local brokers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sesacctl.stack.ports import HOST

# Kafka takes paths from the folder that it is started in, so that spaces and letters of any language in that
# folder's own path do no harm. A killed broker stops acks=all writes for broker.session.timeout.ms.
_BROKER = """\
process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}

num.partitions=3
default.replication.factor={replicas}
min.insync.replicas={in_sync}
auto.create.topics.enable=false
offsets.topic.num.partitions=9
offsets.topic.replication.factor={replicas}
transaction.state.log.num.partitions=9
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=3
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}

broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
group.initial.rebalance.delay.ms=300
group.min.session.timeout.ms=1000

num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=8388608
"""
_LOG4J = """\
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
"""


def write_broker(path: Path, number: int, pairs: Sequence[Sequence[int]], folder: str) -> None:
    """The settings file of broker `number` (from 1 on); `pairs` are the [broker, controller] ports of all."""
    voters = ",".join(f"{voter}@{HOST}:{controller}" for voter, (_, controller) in enumerate(pairs, start=1))
    port, controller_port = pairs[number - 1]
    replicas = min(len(pairs), 3)
    path.write_text(
        _BROKER.format(
            number=number,
            voters=voters,
            host=HOST,
            port=port,
            controller_port=controller_port,
            folder=folder,
            replicas=replicas,
            in_sync=max(1, replicas - 1),
        )
    )


def write_logging(path: Path) -> None:
    """The log4j settings: warnings and the moment of the start, on standard output."""
    path.write_text(_LOG4J)
