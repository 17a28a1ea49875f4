"""A sample of what `python -m tests.hostile` runs in whole: always the same one, and another one each day."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from sesacctl.broker import topics
from sesacctl.settings import Settings
from tests.helpers.servers import NOWHERE
from tests.hostile import env_files, lines, places, running, values
from tests.hostile.lines import Line

FIXED, TODAY = 16, int(time.strftime("%Y%m%d"))


def sample(found: Sequence[Line], number: int) -> list[Line]:
    """So many of a fixed seed, and of the day's."""
    return [line for seed in (FIXED, TODAY) for line in Random(seed).sample(found, number)]


def test_absurd_command_lines_and_settings_end_with_an_error(tmp_path: Path) -> None:
    things = values.make_things(tmp_path / "things")
    chosen = [
        *sample(lines.with_values(things), 12),
        *lines.combined(TODAY, things, 8),
        *sample(list(env_files.with_files()), 4),
        *sample(list(env_files.with_settings()), 8),
    ]
    assert running.faults(running.run(chosen, tmp_path / "work", NOWHERE, at_once=2)) == []


# Each of these once ended in a traceback, hung, did harm or was taken without a word.
def test_what_was_found_stays_mended(tmp_path: Path) -> None:
    things = values.make_things(tmp_path / "things")
    found: list[tuple[str, list[str], dict[str, str]]] = [
        ("events check", [str(things / "link-to-zero")], {}),
        ("events check", [str(things / "fifo")], {}),
        ("audit", ["--ledger", str(things / "link-to-full")], {}),
        ("audit", ["--ledger", str(things / "fifo")], {}),
        ("db restore", [str(things / "fifo")], {}),
        ("db seed", ["--random-seed", "-1"], {}),
        ("dlq export", [""], {}),
        ("dlq export", [str(things / "file" / "below")], {}),
        ("dlq export", [str(things / ("n" * 300))], {}),
        ("dlq list", ["--topic", "order"], {}),
        ("health", ["--live=x"], {}),
        ("health", ["--timeout", values.LONG], {}),
        ("lag", ["--group", "\udcff"], {}),
        ("produce", ["--random-seed", "-1"], {}),
        ("top", ["--every", "5d"], {}),
        ("trace", ["\udcff\udcfe"], {}),
        ("trace", ["o_1", "--user", "\udcfe"], {}),
        ("db forget", ["\udcfe"], {}),
        ("topics peek", ["orders\udcfe"], {}),
        ("cache stats", [], {"REDIS_URL": "redis://127.0.0.1:1/0?no_such=1"}),
        ("topics describe", [], {"KAFKA_BOOTSTRAP_SERVERS": "[::1"}),
        ("topics describe", [], {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:99999"}),
        ("topics describe", [], {"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CAFILE": "n" * 300}),
        ("db check", [], {"DB_TYPE": "rds", "RDS_SSLROOTCERT": "n" * 300}),
        ("health --live", [], {"SESAC_HOME": "n" * 300}),
        ("config check", [], {"SESAC_HOME": "~nobody-of-that-name/x"}),
    ]
    chosen = [
        Line(name, (*name.split(), *given), f"{given} {environment}"[:100], environment=environment)
        for name, given, environment in found
    ]
    ended = running.run(chosen, tmp_path / "work", NOWHERE, at_once=4)
    assert running.faults(ended) == []
    assert [each.line.about for each in ended if each.code not in (2, 3, 5)] == []


def test_servers_that_are_something_else_end_with_an_error(
    settings: Settings, environment: dict[str, str], tmp_path: Path
) -> None:
    topics.init(settings)
    with places.ports(environment, postgres=False) as found:
        chosen = sample(places.lines(found), 6)
        ended = running.run(chosen, tmp_path / "work", environment, at_once=8, patient=True)
    assert running.faults(ended) == []
