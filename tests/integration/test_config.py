"""`sesacctl config`, and a `.env` for Docker Compose beside a local stack."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values

from sesacctl.config import check as configuration
from sesacctl.config import env_file
from sesacctl.settings import Settings
from tests.conftest import Cli

ROOT = Path(__file__).parents[2]
CANARY = "c4nary-Wert"


def written(cli: Cli) -> dict[str, str | None]:
    return dict(dotenv_values(cli.folder / ".env"))


def test_init_writes_random_passwords_for_this_user_only(bare_sesacctl: Cli) -> None:
    os.umask(0)
    try:
        done = bare_sesacctl("config", "init", "-o", "json")
    finally:
        os.umask(0o022)
    assert done.returncode == 0, done.stderr
    path = bare_sesacctl.folder / ".env"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in bare_sesacctl.folder.iterdir()] == [".env"]
    passwords = {name: value for name, value in written(bare_sesacctl).items() if value and "PASSWORD" in name}
    document = json.loads(done.stdout)
    assert set(document["passwords"]) == set(passwords) == {"POSTGRES_PASSWORD", "REDIS_PASSWORD"}
    assert len(set(passwords.values())) == 2
    assert all(len(value) >= 24 and value not in done.stdout + done.stderr for value in passwords.values())


def test_init_asks_before_it_replaces(bare_sesacctl: Cli) -> None:
    path = bare_sesacctl.folder / ".env"
    path.write_text("POSTGRES_PASSWORD=precious\n")
    refused = bare_sesacctl("config", "init")
    assert (refused.returncode, path.read_text()) == (2, "POSTGRES_PASSWORD=precious\n")
    assert "sesacctl" not in refused.stdout
    for answer, code in (("n", 2), ("y", 0)):
        assert in_terminal(bare_sesacctl, answer, "config", "init") == code
        assert (path.read_text() == "POSTGRES_PASSWORD=precious\n") is (answer == "n")
    first = written(bare_sesacctl)
    assert bare_sesacctl("config", "init", "--yes").returncode == 0
    assert written(bare_sesacctl)["POSTGRES_PASSWORD"] != first["POSTGRES_PASSWORD"]


def test_init_through_a_link_writes_what_it_leads_to(bare_sesacctl: Cli) -> None:
    link, shared = bare_sesacctl.folder / ".env", bare_sesacctl.folder.parent / "shared.env"
    link.symlink_to(shared)
    assert bare_sesacctl("config", "init").returncode == 0
    assert link.is_symlink()
    assert "POSTGRES_PASSWORD=" in shared.read_text()
    assert shared.stat().st_mode & 0o777 == 0o600


def in_terminal(cli: Cli, answer: str, *arguments: str) -> int:
    """The exit code of a command that is answered on a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sesacctl", *arguments],
        env=cli.environment,
        cwd=cli.folder,
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    asked = b""
    while b"[y/N]" not in asked:
        asked += os.read(ours, 4096)
    os.write(ours, f"{answer}\n".encode())
    code = process.wait(60)
    os.close(ours)
    return code


def test_a_folder_that_cannot_be_written_is_named(bare_sesacctl: Cli) -> None:
    (bare_sesacctl.folder / ".env").mkdir()
    done = bare_sesacctl("config", "init", "--yes")
    assert done.returncode == 3
    assert ".env cannot be written: Is a directory" in done.stderr
    assert [each.name for each in bare_sesacctl.folder.iterdir()] == [".env"]


def test_the_example_in_the_repository_is_what_init_writes() -> None:
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == env_file.template()


def test_init_lists_every_setting_and_sets_only_credentials(bare_sesacctl: Cli) -> None:
    bare_sesacctl("config", "init")
    text = (bare_sesacctl.folder / ".env").read_text()
    assert all(f"{name.upper()}=" in text for name in Settings.model_fields)
    shown = {each["variable"]: each for each in items(bare_sesacctl)}
    assert {name for name, each in shown.items() if each["origin"] == ".env"} == {
        "DB_TYPE",
        "POSTGRES_USER",
        "POSTGRES_PASSWORD",
        "POSTGRES_DB",
        "REDIS_PASSWORD",
    }
    assert shown["POSTGRES_DB"]["value"] == Settings.model_fields["postgres_db"].default


def items(cli: Cli) -> list[dict[str, Any]]:
    done = cli("config", "show", "-o", "json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    return found


def test_show_tells_values_and_where_they_came_from(bare_sesacctl: Cli) -> None:
    home = Path(bare_sesacctl.environment["SESAC_HOME"])
    home.mkdir()
    (home / "stack.env").write_text("REDIS_PORT='7777'\nPOSTGRES_HOST='/run/x'\n")
    (bare_sesacctl.folder / ".env").write_text(f"REDIS_PASSWORD={CANARY}\nPOSTGRES_HOST=db.example\nREDIS_DB=many\n")
    done = bare_sesacctl("config", "show", "--origin", KAFKA_GROUP="나")
    assert done.returncode == 0
    lines = {line.split()[1]: line.split("│") for line in done.stdout.splitlines() if line.startswith("│")}
    shown = {name: (cells[2].strip(), cells[3].strip()) for name, cells in lines.items()}
    assert shown["REDIS_PORT"] == ("7777", "local stack")
    assert shown["POSTGRES_HOST"] == ("db.example", ".env")
    assert shown["KAFKA_GROUP"] == ("나", "environment")
    assert shown["REDIS_PASSWORD"] == ("********", ".env")
    assert shown["REDIS_DB"] == ("many", ".env")
    assert "it should be a whole number" in "".join(lines["REDIS_DB"])
    assert CANARY not in done.stdout


@pytest.mark.parametrize(
    ("text", "variables", "wrong"),
    [
        ("", {}, []),
        ("DB_TYPE=oracle\n", {}, ["DB_TYPE"]),
        ("REDIS_PORT=x\nREDIS_DB=y\n", {}, ["REDIS_PORT", "REDIS_DB"]),
        ("DB_TYPE=rds\n", {}, ["PostgreSQL"]),
        ("REDIS_URL=http://x\n", {}, ["Redis"]),
        ("", {"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, ["Kafka"]),
        ('POSTGRES_PASSWORD="open\n', {}, [".env"]),
    ],
    ids=["nothing", "unknown kind", "two values", "missing variables", "URL", "SASL", "open quote"],
)
def test_check_finds_what_is_wrong_without_a_server(
    text: str, variables: dict[str, str], wrong: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(".env").write_text(text)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = configuration.check()
    assert [each.variable for each in found.findings if each.wrong] == wrong
    assert found.ok is (not wrong)


def test_a_binary_file_is_a_finding(bare_sesacctl: Cli) -> None:
    (bare_sesacctl.folder / ".env").write_bytes("POSTGRES_DB=데이터\n".encode("euc-kr"))
    done = bare_sesacctl("config", "check", "-o", "json")
    assert done.returncode == 3
    [found] = json.loads(done.stdout)["findings"]
    assert (found["variable"], found["problem"]) == (".env", "is not UTF-8 text")


def test_check_exits_3(bare_sesacctl: Cli) -> None:
    done = bare_sesacctl("config", "check", DB_TYPE="rds")
    assert done.returncode == 3
    assert "RDS_USER is not set, and DB_TYPE=rds needs it" in done.stdout
    assert "next:  sesacctl config show --origin" in done.stderr


def test_check_notes_what_is_odd_about_the_file(bare_sesacctl: Cli) -> None:
    path = bare_sesacctl.folder / ".env"
    path.write_text(f"POSTGRES_PASWORD={CANARY}\nREDIS_DB=1\nREDIS_DB=2\nREDIS_PASSWORD={CANARY}\nEDITOR=vi\n")
    path.chmod(0o644)
    done = bare_sesacctl("config", "check", "-o", "json")
    notes = [(each["variable"], each["problem"]) for each in json.loads(done.stdout)["findings"]]
    assert notes == [
        ("POSTGRES_PASWORD", "no setting; is POSTGRES_PASSWORD meant?"),
        ("REDIS_DB", "set 2 times in .env: the last one counts"),
        (".env", "others may read its passwords"),
    ]
    assert done.returncode == 0
    assert CANARY not in done.stdout + done.stderr


def test_a_wrong_setting_exits_3_and_names_config_show(bare_sesacctl: Cli) -> None:
    done = bare_sesacctl("lag", REDIS_PORT="x")
    assert done.returncode == 3
    assert "REDIS_PORT (environment): " in done.stderr
    assert "next:  sesacctl config show" in done.stderr


def test_a_compose_password_does_not_break_the_local_stack(sesacctl: Cli) -> None:
    assert sesacctl("config", "init").returncode == 0
    for name in ("POSTGRES_USER", "POSTGRES_DB"):
        assert name in sesacctl.environment
    done = sesacctl("cache", "sample", "users")
    assert "The cache is empty" in done.stderr, done.stderr
    assert sesacctl("db", "check").returncode == 0
