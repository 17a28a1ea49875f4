"""The loop, the audit and health on Debian's PostgreSQL 15 and Redis 7.0; `make compat` has all versions."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.compat.other_servers import POSTGRES, REDIS, missing, start
from tests.conftest import Cli

OLDEST = (POSTGRES[0], REDIS[1])


def test_the_loop_on_older_servers(sesacctl: Cli) -> None:
    if why := missing(OLDEST, Path(), {}):
        pytest.skip(why)
    with ExitStack() as running:
        sesacctl.environment.update(start(OLDEST, Path(), running))
        for command in (
            "db init --with-seed --yes",
            "topics init",
            "cache refresh",
            "produce --count 200 --rate 0",
            "consume --until-empty -n 1",
            "audit --deep",
            "health",
        ):
            done = sesacctl(*command.split())
            assert (done.returncode, command) == (0, command), done.stderr
