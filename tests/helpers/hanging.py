"""A test that starts servers and never ends: what is run, and killed, to see that nothing is left of it."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from tests.helpers.servers import PrivateServer

FILE = "SESAC_TEST_PIDS"


def test_hangs(private_valkey: PrivateServer, private_postgres: PrivateServer) -> None:
    file = Path(os.environ[FILE])
    file.with_suffix(".new").write_text(f"{private_valkey.pid} {private_postgres.pid}", encoding="utf-8")
    file.with_suffix(".new").rename(file)
    threading.Event().wait()
