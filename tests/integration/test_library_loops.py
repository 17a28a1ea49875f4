"""The loops as a program runs them: what the commands get, a program gets too."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from sesacctl.errors import SchemaNotAtHead, TopicMissing
from sesacctl.heartbeat import read_pulses
from sesacctl.pipeline.produce.producer import ProducePlan, Producer
from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.pipeline.supervise.supervisor import Supervisor
from sesacctl.settings import Settings
from tests.helpers.cache_data import fill
from tests.helpers.events import query
from tests.helpers.topics import make_topics


@pytest.fixture
def own(settings: Settings, tmp_path: Path) -> Settings:
    """Rows, a cache and topics, and a home of this test's own."""
    fill(settings, users=20, products=20)
    make_topics(settings)
    own = settings.model_copy(update={"sesac_home": tmp_path})
    with Refresher(own) as refresher:
        refresher.run_once()
    return own


@pytest.mark.parametrize("loop", ["cache-refresh", "produce", "consume"])
def test_a_loop_gives_heartbeats(own: Settings, tmp_path: Path, loop: str) -> None:
    stop, seen = threading.Event(), list[str]()

    def look(_: object) -> None:
        seen.extend(pulse.name for pulse in read_pulses(tmp_path) if pulse.alive)
        stop.set()

    if loop == "cache-refresh":
        with Refresher(own) as refresher:
            refresher.run(stop, 0.1, on_round=look)
    elif loop == "produce":
        Producer(own, ProducePlan(rate=10, seconds=60)).run(stop, on_report=look, interval=0.1)
    else:
        Supervisor(own, instances=1).run(stop, on_report=look, interval=0.1)
    assert loop in seen
    assert read_pulses(tmp_path) == ()


def test_a_supervisor_starts_nothing_without_topics(settings: Settings) -> None:
    supervisor = Supervisor(settings, instances=1)
    with pytest.raises(TopicMissing):
        supervisor.run(threading.Event())
    assert supervisor.report().instances[0].state == "stopped"


def test_a_supervisor_starts_nothing_without_the_schema(own: Settings) -> None:
    query(own, "DROP TABLE sesacctl_version")
    supervisor = Supervisor(own, instances=1)
    with pytest.raises(SchemaNotAtHead):
        supervisor.run(threading.Event())
    assert supervisor.report().instances[0].pid is None
