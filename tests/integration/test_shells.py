"""What a Tab offers, in the shells that are installed here."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.events import add_parents, message, order
from tests.helpers.listeners import listener
from tests.helpers.terminal import on_terminal
from tests.helpers.waiting import within
from tests.integration.test_dlq import refuse

BIN = str(Path(sys.executable).parent)


def needs(shell: str) -> None:
    """Leave out a shell that is not there, by name."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed here")


def script(cli: Cli, shell: str, environment: dict[str, str]) -> Path:
    """What `sesacctl --show-completion` prints for the shell, as a file."""
    path = cli.folder / f"completion.{shell}"
    if not path.exists():
        source = {**environment, "_SESACCTL_COMPLETE": f"source_{shell}"}
        done = subprocess.run([f"{BIN}/sesacctl"], env=source, capture_output=True, text=True, check=True)
        path.write_text(done.stdout)
    return path


def shell_environment(cli: Cli, **variables: str) -> dict[str, str]:
    return {**cli.environment, "PATH": f"{BIN}:{cli.environment['PATH']}", "HOME": str(cli.folder), **variables}


def complete(cli: Cli, shell: str, line: str, **variables: str) -> tuple[list[str], str]:
    """What the shell offers behind `line`, and what was printed on standard error."""
    environment = shell_environment(cli, **variables)
    source = script(cli, shell, environment)
    command = ["fish", "--no-config", "-c", f"source {source}; complete -C '{line}'"]
    if shell == "bash":
        words = line.split(" ")
        quoted = " ".join(f"'{word}'" for word in words)
        body = (
            f"source {source}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1};"
            ' _sesacctl_completion sesacctl; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        command = ["bash", "--norc", "-c", body]
    done = subprocess.run(
        command, env=environment, cwd=cli.folder, capture_output=True, text=True, timeout=120, check=False
    )
    return [found.split("\t")[0] for found in done.stdout.splitlines() if found], done.stderr


VALUES = [
    ("sesacctl stack logs ", ["kafka-1", "kafka-2", "kafka-3", "postgres", "valkey"]),
    ("sesacctl stack logs kafka-", ["kafka-1", "kafka-2", "kafka-3"]),
    ("sesacctl dlq list --topic ", ["orders", "products", "users"]),
    ("sesacctl consume --topics orders,u", ["orders,users"]),
    ("sesacctl dlq list --reason inv", ["invalid_field", "invalid_json"]),
    ("sesacctl db migrate 000", ["0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008"]),
    ("sesacctl offsets reset --to ", ["earliest", "latest"]),
    ("sesacctl cache sample ", ["products", "users"]),
]


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize(("line", "offered"), VALUES)
def test_a_tab_offers_what_fits(shell: str, line: str, offered: list[str], bare_sesacctl: Cli) -> None:
    needs(shell)
    found, said = complete(bare_sesacctl, shell, line)
    assert (sorted(found), said) == (offered, "")


@pytest.fixture
def letters(settings: Settings) -> Settings:
    """Two refused orders."""
    add_parents(settings)
    refuse(settings, [message(order(1)), *(message(order(1, total_amount=amount)) for amount in (9_998, 9_999))])
    return settings


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.usefixtures("letters")
def test_a_tab_offers_the_dead_letters_there_are(shell: str, sesacctl: Cli) -> None:
    needs(shell)
    wanted = sorted(str(item) for item in ids(sesacctl))
    for line in ("sesacctl dlq show ", "sesacctl dlq replay --id "):
        found, said = complete(sesacctl, shell, line)
        assert (sorted(found), said) == (wanted, "")


def ids(cli: Cli) -> list[int]:
    """Those that `dlq list` shows."""
    return [item["id"] for item in json.loads(cli("dlq", "list", "-o", "json").stdout)["items"]]


AWAY = [
    {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": "1"},
    {"POSTGRES_HOST": "nowhere.invalid"},
    {"POSTGRES_PORT": "no number"},
    {"DB_TYPE": "rds", "RDS_HOST": "127.0.0.1", "RDS_USER": "u", "RDS_PASSWORD": "p", "RDS_DB": "d", "RDS_PORT": "1"},
]


@pytest.mark.parametrize("variables", AWAY)
@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_without_postgresql_nothing_is_offered_or_said(
    shell: str, variables: dict[str, str], bare_sesacctl: Cli
) -> None:
    needs(shell)
    found, said = complete(bare_sesacctl, shell, "sesacctl dlq show ", **variables)
    assert (without_files(bare_sesacctl, found), said) == ([], "")


def without_files(cli: Cli, found: list[str]) -> list[str]:
    """What is offered, but for the files in the folder, which a shell offers where nothing else is."""
    return [each for each in found if each not in {path.name for path in cli.folder.iterdir()}]


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_a_server_that_hangs_does_not_hold_up_the_shell(shell: str, bare_sesacctl: Cli) -> None:
    needs(shell)
    complete(bare_sesacctl, shell, "sesacctl dlq show ", POSTGRES_PORT="1")  # the script and the imports are there
    with listener() as silent, within(4.0 if shell == "bash" else 8.0, "completion"):  # fish asks twice
        found, said = complete(
            bare_sesacctl, shell, "sesacctl dlq show ", POSTGRES_HOST="127.0.0.1", POSTGRES_PORT=str(silent.port)
        )
        assert silent.used
    assert (without_files(bare_sesacctl, found), said) == ([], "")


@pytest.mark.parametrize("line", ["sesacctl dlq show '", "sesacctl nonsense ", "sesacctl --nonsense ", "sesacctl "])
def test_a_broken_line_is_no_error(line: str, bare_sesacctl: Cli) -> None:
    done = bare_sesacctl(_SESACCTL_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(line.split(" ")) - 1))
    assert (done.returncode, done.stderr) == (0, "")


def test_zsh_completes_at_a_tab(bare_sesacctl: Cli) -> None:
    needs("zsh")
    environment = shell_environment(bare_sesacctl, PS1="ready> ")
    source = script(bare_sesacctl, "zsh", environment)
    with on_terminal(["zsh", "-f", "-i"], env=environment, cwd=bare_sesacctl.folder, columns=120) as terminal:
        at = terminal.wait_for("ready>")
        terminal.press(f"autoload -U compinit && compinit -u && source {source} && echo loa''ded\n")
        at = terminal.wait_for("loaded", after=at)
        terminal.press("sesacctl stack logs pos\t")
        at = terminal.wait_for("postgres", after=at)
        terminal.press("\x15sesacctl dlq list --reason invalid_\t\t")
        terminal.wait_for("invalid_field", after=at)
        terminal.wait_for("invalid_json", after=at)
        assert "rror" not in terminal.read()
