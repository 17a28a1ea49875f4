"""Where a new assignment continues: at PostgreSQL's offsets; those committed to Kafka do not count."""

from __future__ import annotations

import logging

from sesacctl.pipeline.consume.assignment import Assignment
from sesacctl.pipeline.consume.reader import Reader
from sesacctl.pipeline.sink.batch import LogMark
from sesacctl.pipeline.sink.log_cuts import stops
from sesacctl.pipeline.sink.store import Sink

logger = logging.getLogger(__name__)


def seek_to_stored(sink: Sink, reader: Reader, assignment: Assignment) -> None:
    """Seek every assigned partition to PostgreSQL's offset; a new one begins at the start of its log.

    `assignment.changed` stays true while Kafka does not say where that is.

    Raises:
        LogCut: the log is not the one that was read, as was found before.
        sesacctl.pipeline.sink.log_cuts.CutFound: the same, as is found now.
        psycopg2.Error: PostgreSQL does not answer as it should.
    """
    membership = reader.membership_with_topics()
    assignment.drop()
    keys = {
        tp: (topic_id, tp.partition)
        for tp in sorted(membership.partitions)
        if (topic_id := membership.topic_ids.get(tp.topic)) is not None
    }
    cuts = sink.open_cuts()
    for tp, key in keys.items():
        if cut := cuts.get(key):
            raise stops(tp.topic, tp.partition, cut)
    marks = sink.marks(list(keys.values()))
    starts = reader.log_starts([tp for tp, key in keys.items() if key not in marks])
    if starts is None:
        return
    for tp, key in keys.items():
        mark = marks.get(key) or LogMark(sink.begin_partition(tp.topic, key, starts[tp]))
        log = assignment.take(tp, key[0], mark, is_new=key not in marks)
        if not reader.seek(tp, log.begins_at, mark.leader_epoch if log.epoch_agrees else None):
            return  # it was taken from us in between
    reader.resume(keys)
    assignment.confirm(membership)
    logger.debug("owns %s", assignment.names, extra={"action": "consume.assigned"})
