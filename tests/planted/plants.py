"""Bugs that tests are there for, as changes of the code: each is to turn its tests red.

Some went unnoticed once; the others would break the promise, or what proves it. A plant whose text is no longer in the
code is stale: plant its bug again.
"""

from __future__ import annotations

from tests.planted import (
    bugs_elsewhere,
    bugs_in_audit,
    bugs_in_broker,
    bugs_in_cache,
    bugs_in_consume,
    bugs_in_dashboard,
    bugs_in_drill,
    bugs_in_forgetting,
    bugs_in_operating,
    bugs_in_page,
    bugs_in_parking,
    bugs_in_produce,
    bugs_in_rows,
    bugs_in_screens,
    bugs_in_sink,
    bugs_in_supervise,
    bugs_in_testing,
    bugs_in_trace,
)
from tests.planted.plant import Plant

PLANTS: tuple[Plant, ...] = (
    *bugs_in_produce.PLANTS,
    *bugs_in_broker.PLANTS,
    *bugs_in_consume.PLANTS,
    *bugs_in_parking.PLANTS,
    *bugs_in_supervise.PLANTS,
    *bugs_in_rows.PLANTS,
    *bugs_in_sink.PLANTS,
    *bugs_in_audit.PLANTS,
    *bugs_in_trace.PLANTS,
    *bugs_in_operating.PLANTS,
    *bugs_in_screens.PLANTS,
    *bugs_in_dashboard.PLANTS,
    *bugs_in_page.PLANTS,
    *bugs_in_forgetting.PLANTS,
    *bugs_in_cache.PLANTS,
    *bugs_in_drill.PLANTS,
    *bugs_in_testing.PLANTS,
    *bugs_elsewhere.PLANTS,
)
