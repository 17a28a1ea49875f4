"""What a loop answers over HTTP besides its figures: whether it is alive, and whether it is ready."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from sesacctl.heartbeat import Heartbeat
from sesacctl.pipeline.watch.exporter import Family, SharedLook
from sesacctl.pipeline.watch.pages import Page, page
from sesacctl.stack import ports
from tests.helpers.documents import ROOT
from tests.helpers.web import ask


@pytest.fixture
def port() -> int:
    [port] = ports.choose(1)
    return port


@pytest.fixture
def shown(port: int) -> Iterator[Page]:
    with page(port, host="127.0.0.1") as shown:
        yield shown


def compose_probe(port: int) -> bool:
    """Whether the health check of Compose passes."""
    compose = yaml.safe_load((ROOT / "deploy" / "docker-compose.yml").read_text("utf-8"))
    [_, *command] = compose["services"]["consumers"]["healthcheck"]["test"]
    command[-1] = command[-1].replace("9464", str(port)).replace("$$", "$")
    return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0


def test_an_overdue_loop_is_not_alive(shown: Page, port: int, tmp_path: Path) -> None:
    assert [family.name for family in shown.families()] == ["sesacctl_build_info"]
    assert ask(port, "/livez") == (200, "ok\n")
    with Heartbeat(tmp_path, "produce") as heartbeat:
        heartbeat.beat(60.0)
        assert (ask(port, "/livez")[0], compose_probe(port)) == (200, True)
        heartbeat.beat(-7.0)
        status, text = ask(port, "/livez")
        assert (status, compose_probe(port)) == (503, False)
        assert re.fullmatch(r"no heartbeat from produce for \d+ s too long\n", text)
    assert ask(port, "/livez")[0] == 200


def test_a_full_disk_does_not_make_a_loop_look_dead(shown: Page, port: int, tmp_path: Path) -> None:
    with Heartbeat(tmp_path, "produce") as heartbeat:
        heartbeat.beat(-7.0)
        (tmp_path / "heartbeats").rename(tmp_path / "away")
        heartbeat.beat(60.0)
        assert ask(port, "/livez") == (200, "ok\n")
        assert shown.problem()


def test_readiness_says_what_is_waited_for(shown: Page, port: int) -> None:
    assert ask(port, "/readyz") == (503, "it is starting\n")
    shown.wait_for("PostgreSQL at a:1 cannot be reached")
    assert ask(port, "/readyz") == (503, "waiting: PostgreSQL at a:1 cannot be reached\n")
    shown.ready_unless(lambda: None)
    assert ask(port, "/readyz") == (200, "ok\n")
    shown.ready_unless(lambda: "instance 3: no partitions are assigned yet")
    assert ask(port, "/readyz") == (503, "instance 3: no partitions are assigned yet\n")


def test_an_unknown_page_is_not_ready(shown: Page, port: int) -> None:
    shown.ready_unless(lambda: None)
    assert ask(port, "/healthz")[0] == 404
    assert ask(port, "/metrics")[0] == 200


def test_two_scrapers_share_one_look() -> None:
    begun, free = threading.Event(), threading.Event()
    looks: list[int] = []

    def collect() -> list[Family]:
        looks.append(len(looks))
        begun.set()
        assert free.wait(20)
        return [Family("sesacctl_x", "X.", values=[((), len(looks))])]

    shared = SharedLook(collect, seconds=60)
    answers: list[list[Family]] = []
    scrapers = [threading.Thread(target=lambda: answers.append(shared())) for _ in range(3)]
    scrapers[0].start()
    assert begun.wait(20)
    for scraper in scrapers[1:]:
        scraper.start()
    free.set()
    for scraper in scrapers:
        scraper.join(20)
    assert (len(answers), len(looks)) == (3, 1)
    assert answers[0] == answers[1] == answers[2] == shared()


def test_a_look_is_taken_again_when_it_is_old() -> None:
    looks = iter(range(9))
    shared = SharedLook(lambda: [Family("sesacctl_x", "X.", values=[((), next(looks))])], seconds=-1)
    assert [shared()[0].values[0][1] for _ in range(3)] == [0, 1, 2]


def test_an_error_is_raised_once_and_looked_at_again() -> None:
    answers = iter([ValueError("planted"), None])

    def collect() -> list[Family]:
        if error := next(answers):
            raise error
        return []

    shared = SharedLook(collect, seconds=-1)
    with pytest.raises(ValueError, match="planted"):
        shared()
    assert shared() == []
