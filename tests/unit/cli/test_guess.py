"""Where nothing names the servers, it is said, and nothing is written without `--yes`."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from sesacctl.cli import app
from sesacctl.cli.options import begin
from sesacctl.errors import UsageError
from sesacctl.settings import load
from tests.helpers.command_line import ARGUMENTS, commands

# They ask before they write to this machine's files, or to its own stack.
_OTHERS = ("config init", "down")
VALUES = {"DB_TYPE": "local", "REDIS_URL": "redis://h/0", "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092"}
WRITING = [name for name, each in commands() if any("--yes" in param.opts for param in each.params)]


@pytest.mark.parametrize("name", [name for name in WRITING if name not in _OTHERS])
def test_a_write_to_servers_that_nothing_names_is_refused(name: str) -> None:
    arguments = [word for word in ARGUMENTS.get(name, []) if word not in ("--yes", "--dry-run")]
    error = CliRunner().invoke(app.build(), [*name.split(), *arguments]).exception
    assert isinstance(error, UsageError)
    assert "Nothing names the servers" in str(error)
    assert "sesacctl up" in str(error.hint)
    assert "--yes" in str(error.hint)
    assert not list(Path.cwd().iterdir())


def test_what_changes_servers_can_be_told_yes() -> None:
    changing = {"db init", "db migrate", "db downgrade", "db seed", "cache refresh", "cache reset-aging", "topics init"}
    changing |= {"produce", "consume", "offsets reset", "offsets accept-cut", "dlq replay", "dlq discard"}
    assert changing <= set(WRITING)


def test_defaults_are_said_once_to_who_reads(capsys: pytest.CaptureFixture[str]) -> None:
    begin()
    said = capsys.readouterr().err
    assert said.startswith("nothing names the servers")
    assert "PostgreSQL at localhost:5432, Redis at localhost:6379, Kafka at localhost:9092" in said


def test_a_yes_writes_to_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert begin(yes=True).postgres_host == "localhost"
    assert "nothing names the servers" in capsys.readouterr().err
    with pytest.raises(UsageError):
        begin(yes=False)


def test_what_asks_no_server_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    begin(servers=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("variable", "named"),
    [
        ("KAFKA_BOOTSTRAP_SERVERS", True),
        ("POSTGRES_PASSWORD", True),
        ("REDIS_URL", True),
        ("DB_TYPE", True),
        ("KAFKA_GROUP", False),
        ("KAFKA_TOPIC_PREFIX", False),
        ("SESAC_HOME", False),
    ],
)
def test_a_variable_of_a_server_names_it(variable: str, named: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, VALUES.get(variable, "shop"))
    assert load(kafka_group="g").is_guess is not named


def test_an_env_file_names_them() -> None:
    Path(".env").write_text("SESAC_LOG_LEVEL=info\n")
    assert not load().is_guess


def test_a_running_stack_names_them() -> None:
    Path(".sesac").mkdir()
    assert load().is_guess  # it is down
    Path(".sesac/stack.env").write_text("POSTGRES_HOST='/x'\nREDIS_PORT='1'\n")
    assert not load().is_guess
