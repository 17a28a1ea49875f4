"""Topics that were created so lately that not every broker knows them when consumers start."""

from __future__ import annotations

from contextlib import closing

from sesacctl.broker import clients
from sesacctl.database.connections import connect
from sesacctl.events import PARTITIONS
from sesacctl.pipeline.consume.assignment import Assignment
from sesacctl.pipeline.consume.log_gaps import LogGuard
from sesacctl.pipeline.consume.reader import Reader
from sesacctl.pipeline.consume.seek import seek_to_stored
from sesacctl.pipeline.sink.store import Sink
from sesacctl.settings import Settings
from tests.helpers.topics import make_topics
from tests.helpers.waiting import wait_until


def test_topics_without_an_id_are_asked_for_at_once(settings: Settings) -> None:
    """By itself the client would ask again after half a minute, and store nothing until then."""
    make_topics(settings)
    kinds = {settings.topic(kind): kind for kind in PARTITIONS}
    consumer = clients.consumer(settings, group_instance_id="test-0")
    with closing(connect(settings, command="test")) as connection, closing(consumer):
        consumer.subscribe(list(kinds))
        reader = Reader(consumer, list(kinds))
        assignment = Assignment(kinds, LogGuard(reader, accept_gap=False))
        wait_until(lambda: not reader.poll(timeout_ms=100).records and consumer.assignment(), message="it is in")
        consumer._cluster._topic_ids.clear()  # what a broker answers that does not know them
        seek_to_stored(Sink(connection, group=settings.kafka_group), reader, assignment)
        assert set(assignment.partitions) == consumer.assignment()
        assert len(assignment.partitions) == sum(PARTITIONS.values())
