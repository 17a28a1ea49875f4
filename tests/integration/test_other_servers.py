"""The loop, the audit and health on the oldest servers that are promised; `make compat` has all versions."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.compat.other_servers import POSTGRES, REDIS, Server, start
from tests.conftest import Cli

POSTGRES_15, POSTGRES_16 = POSTGRES[:2]
REDIS_7, VALKEY_9 = REDIS[1], REDIS[-1]


@pytest.mark.parametrize(("postgres", "redis"), [(POSTGRES_15, REDIS_7), (POSTGRES_16, VALKEY_9)])
def test_the_loop_on_older_servers(sesacctl: Cli, postgres: Server, redis: Server) -> None:
    for server in (postgres, redis):
        if not server.program.exists():
            pytest.skip(f"{server.name} is not here")
    with ExitStack() as running:
        sesacctl.environment.update(start((postgres, redis), Path(), running))
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
