"""Which pg_dump is taken: one that is not older than the server, and that knows TLS where that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from sesacctl.database import client_programs
from sesacctl.database.location import Location
from sesacctl.errors import ConfigurationError

SOCKET = Location(host="/run/postgresql", port=5432, database="d", user="u", password=None)
TCP = Location(host="db.example", port=5432, database="d", user="u", password="p")
TLS = Location(host="db.example", port=5432, database="d", user="u", password="p", options={"sslmode": "require"})


def program(folder: Path, version: str) -> Path:
    folder.mkdir(parents=True)
    path = folder / "pg_dump"
    path.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}'\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A packaged 18 and Debian's 15 and 16; 14 on the path, as Debian's wrapper may have it."""
    found = {
        "packaged": program(tmp_path / "packaged", "18.4"),
        "path": program(tmp_path / "path", "14.9 (Debian 14.9-1)"),
        "15": program(tmp_path / "lib" / "15" / "bin", "15.18"),
        "16": program(tmp_path / "lib" / "16" / "bin", "16.2"),
    }
    monkeypatch.setattr(client_programs, "_packaged", lambda: tmp_path / "packaged")
    monkeypatch.setattr(client_programs, "_PLACES", (f"{tmp_path}/lib/*/bin",))
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:/usr/bin:/bin")
    return found


@pytest.mark.parametrize(
    ("location", "server", "taken"),
    [
        (SOCKET, 15, "packaged"),
        (None, 15, "packaged"),
        (TCP, 14, "path"),
        (TCP, 15, "16"),
        (TCP, 18, "packaged"),
        (TLS, 16, "16"),
    ],
)
def test_the_first_that_fits_is_taken(
    places: dict[str, Path], location: Location | None, server: int, taken: str
) -> None:
    assert client_programs.find("pg_dump", at_least=server, location=location) == places[taken]


def test_older_ones_are_named_with_what_to_install(places: dict[str, Path]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        client_programs.find("pg_dump", at_least=18, location=TLS)
    assert f"pg_dump of PostgreSQL 18 or newer is needed, and is not here: {places['path']} is of 14" in str(
        caught.value
    )
    assert "postgresql-client-18" in str(caught.value.hint)
    with pytest.raises(ConfigurationError):
        client_programs.find("pg_dump", at_least=19, location=SOCKET)
