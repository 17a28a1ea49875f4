"""The command line as a whole: help, completion, suggestions, exit codes, and what happens when output fails."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from sesacctl import __version__, errors
from sesacctl.cli import app, boundary
from sesacctl.errors import SesacctlError, UsageError
from tests.conftest import Cli
from tests.helpers.command_line import commands, problem
from tests.helpers.listeners import listener
from tests.helpers.servers import NOWHERE, clean_environment
from tests.helpers.waiting import wait_until

runner = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"})


def run(*arguments: str) -> Any:
    """In this process; for what ends before a command's body."""
    return runner.invoke(app.build(), list(arguments))


LEAVES = dict(commands())


def test_all_commands_are_in_the_help() -> None:
    shown = run("--help").output
    assert all(name in shown for name in app.COMMANDS)


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_has_help_with_an_example_that_parses(name: str) -> None:
    text = LEAVES[name].help
    assert re.search(r"Examples?: ", text), f"no example in `sesacctl {name} --help`"
    examples = re.findall(r"(?:Examples?: | · )(sesacctl [^·\n]+)", text)
    assert any(example.startswith(f"sesacctl {name}") for example in examples)
    for example in examples:
        assert problem(example.split()[1:]) is None
    short, long = run(*name.split(), "-h"), run(*name.split(), "--help")
    assert short.exit_code == long.exit_code == 0
    assert short.output == long.output


GROUPS = [name for name in app.COMMANDS if hasattr(app.load(name), "commands")]


def test_a_line_that_is_looked_at_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert problem(["--install-completion", "bash"]) is None
    assert problem(["--install-completion", "--no-such-option"]) is not None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", GROUPS)
def test_every_group_has_help_with_an_example_of_its_own(name: str) -> None:
    example = str(app.load(name).help).partition("\n\nExample: ")[2]
    assert example.startswith(f"sesacctl {name} ")
    assert problem(example.split()[1:]) is None


# They print what another program reads, in that program's own form, or tell on stderr what they did.
WITHOUT_OUTPUT = {"stack env", "stack logs", "metrics", "dashboard", "dlq discard", "dlq export", "events schema"}


@pytest.mark.parametrize("name", sorted(LEAVES.keys() - WITHOUT_OUTPUT))
def test_every_command_that_shows_something_can_show_it_as_json(name: str) -> None:
    assert [param.opts for param in LEAVES[name].params if "-o" in param.opts] == [["-o", "--output"]]


@pytest.mark.parametrize("name", LEAVES)
def test_durations_are_shown_as_they_are_typed(name: str) -> None:
    for param in LEAVES[name].params:
        if param.metavar == "DURATION" and param.default is not None:
            assert re.fullmatch(r"\d+(\.\d+)?[smh]", param.default)


@pytest.mark.parametrize("name", LEAVES)
def test_every_number_has_bounds(name: str) -> None:
    own = [each for each in LEAVES[name].params if each.type_descriptor.annotation in (int, int | None, list[int])]
    assert [each.name for each in own if each.min is None or each.max is None] == []


@pytest.mark.parametrize("name", LEAVES)
def test_every_option_is_described(name: str) -> None:
    for param in LEAVES[name].params:
        if param.name != "help" and param.param_type_name == "option":
            assert param.help, f"{name} {param.opts}"


@pytest.mark.parametrize("name", LEAVES)
def test_every_command_can_be_quiet_and_choose_its_log(name: str) -> None:
    options = {option for param in LEAVES[name].params for option in param.opts}
    assert {"-q", "--quiet", "--log-level", "--log-format"} <= options
    assert not {option for option in options if "completion" in option}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("heal",), "No such command 'heal'. Did you mean 'health'?"),
        (("xyzzy",), "No such command 'xyzzy'."),
        (("cache", "stat"), "Did you mean 'stats'?"),
        (("health", "--outptu", "json"), "--output"),
        (("health", "--log-levle", "info"), "--log-level"),
        (("health", "-o", "yaml"), "'yaml' is not one of 'table', 'json', 'jsonl'"),
        (("health", "extra"), "extra"),
        (("health", "--wait", "--timeout", "soon"), "'soon' is not a duration such as 30s, 10m, 2h or 7d"),
        (("top", "--every", "0"), "'0' is not a duration"),
        (("metrics", "--port", "99999"), "65,535"),
        (("dlq", "list", "--since", "99999999h"), "'99999999h' is longer than ten years"),
        (("dlq", "list", "--topic", "order"), "'order' is not one of 'orders', 'users', 'products'"),
        (("demo", "--orders", "1" + "0" * 30), "100,000,000"),
        (("health", "--live=x"), "health -h' for help. Error Option '--live' does not take a value"),
    ],
)
def test_command_line_mistakes_are_named(arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(re.sub(r"[│╭╮╰╯─]", " ", result.output).split())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("health --timeout 5s", "--timeout requires --wait"),
        ("health --live --timeout 5s", "--live cannot be combined with other options"),
        ("health --live -o table", "--live cannot be combined with other options"),
        ("cache fairness --rows 3", "--rows requires --simulate"),
        ("cache fairness --fresh 500 --size 1000", "--size requires --simulate"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(line: str, said: str) -> None:
    error = run(*line.split()).exception
    assert isinstance(error, UsageError)
    assert str(error) == said


def modules_after(line: str, folder: Path, *, first: str = "", **environment: str) -> set[str]:
    """What a command has imported at its end."""
    code = f"""
import sys
{first}
sys.argv = ["sesacctl", *{line.split()!r}]
from sesacctl.cli.app import main
try:
    main()
except SystemExit:
    pass
print("\\n" + " ".join(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(SESAC_HOME=str(folder / ".sesac"), **environment),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_the_help_imports_no_command(tmp_path: Path) -> None:
    own = {name for name in modules_after("--help", tmp_path) if name.startswith("sesacctl")}
    assert own == {"sesacctl", "sesacctl.cli"} | {f"sesacctl.cli.{name}" for name in ("app", "boundary", "help_style")}


LIBRARIES = {"alembic", "kafka", "prometheus_client", "psycopg2", "redis", "sqlalchemy"}
# The server libraries that each command needs to do its work; it may import no others.
SCHEMA = {"alembic", "psycopg2", "sqlalchemy"}
NEEDS: dict[str, set[str]] = {
    "--version": set(),
    "health --live": set(),
    "config show": set(),
    "stack status": set(),
    "config check": {"kafka", "psycopg2", "redis"},
    "db init": SCHEMA,
    "db check": SCHEMA,
    "db migrate --yes": SCHEMA,
    "db downgrade -1 --yes": SCHEMA,
    "db seed": {"psycopg2"},
    "db forget u1 --yes": {"kafka", "psycopg2", "redis"},
    "db prune --older-than 90d --yes": {"psycopg2"},
    "db dump shop.dump": SCHEMA,
    "cache refresh": {"psycopg2", "redis"},
    "cache stats": {"psycopg2", "redis"},
    "cache fairness": {"psycopg2", "redis"},
    "cache sample users": {"redis"},
    "cache reset-aging": {"psycopg2"},
    "cache fairness --simulate --rounds 2": set(),
    "topics init": {"kafka"},
    "topics describe": {"kafka"},
    "topics list": {"kafka"},
    "topics peek orders": {"kafka"},
    "produce": {"kafka", "redis"},
    "consume": {"kafka", "psycopg2"},
    "lag": {"kafka", "psycopg2"},
    "offsets show": {"kafka", "psycopg2"},
    "offsets reset --to earliest --dry-run": {"kafka", "psycopg2"},
    "dlq list": {"psycopg2"},
    "dlq show 1": {"psycopg2"},
    "dlq replay --all": {"psycopg2"},
    "dlq discard --all --yes": {"psycopg2"},
    "dlq export dead.jsonl": {"psycopg2"},
    "audit": {"kafka", "psycopg2"},
    "health": {"kafka", "psycopg2", "redis"},
    "top --once --every 0.1": {"kafka", "psycopg2", "redis"},
    "metrics --once": {"kafka", "prometheus_client", "psycopg2", "redis"},
}
_SOON = """
from sesacctl.broker import clients
clients.BOOTSTRAP_TIMEOUT_MS = clients.admin.__kwdefaults__["timeout_ms"] = 100
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[set[str]]]]:
    """What each command imports; several run at once, as they wait for servers that are not there."""
    with ThreadPoolExecutor(4) as pool:
        yield {
            line: pool.submit(
                modules_after,
                line,
                tmp_path_factory.mktemp("bare"),
                first=_SOON if "kafka" in needs else "",
                **NOWHERE,
            )
            for line, needs in NEEDS.items()
        }


@pytest.mark.parametrize("line", NEEDS)
def test_commands_import_only_the_server_libraries_they_use(line: str, imported: dict[str, Future[set[str]]]) -> None:
    assert imported[line].result() & LIBRARIES <= NEEDS[line]


def test_the_version(bare_sesacctl: Cli) -> None:
    assert bare_sesacctl("--version").stdout == f"sesacctl {__version__}\n"
    assert run("--version", "health").output == f"sesacctl {__version__}\n"


# ---- the ends of a command


@pytest.mark.parametrize(
    "kind", [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, SesacctlError)]
)
def test_every_error_has_its_exit_code_and_says_what_to_do(
    kind: type[SesacctlError], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = kind.__new__(kind)
    SesacctlError.__init__(error, "it failed")
    assert kind.exit_code in {1, 2, 3, 4, 5, 6}
    assert kind is SesacctlError or kind.exit_code > 1
    monkeypatch.setattr(boundary, "_guard_stdout", lambda: None)

    def command() -> None:
        raise error

    assert boundary.run(command) == kind.exit_code
    assert capsys.readouterr().err.startswith("error: it failed\n")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boundary, "_guard_stdout", lambda: None)

    def command() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        boundary.run(command)


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boundary, "_guard_stdout", lambda: None)

    def command() -> None:
        raise KeyboardInterrupt

    assert boundary.run(command) == 130


def test_ctrl_c_in_a_command_leaves_no_traceback(bare_sesacctl: Cli) -> None:
    with listener() as silent:
        process = bare_sesacctl.start("db", "check", POSTGRES_HOST="127.0.0.1", POSTGRES_PORT=str(silent.port))
        wait_until(lambda: silent.used)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == err == ""


@pytest.mark.parametrize(
    "arguments", [("--version",), ("--help",), ("config", "show"), ("config", "show", "-o", "json")]
)
def test_a_full_disk_is_reported(arguments: tuple[str, ...], bare_sesacctl: Cli) -> None:
    with Path("/dev/full").open("w") as full:
        done = output_to(full, bare_sesacctl, *arguments)
    assert done.returncode == 5
    assert done.stderr == "error: standard output: No space left on device\n"


@pytest.mark.parametrize(
    "arguments", [("--version",), ("--help",), ("config", "show"), ("config", "show", "-o", "json")]
)
def test_a_closed_pipe_ends_it_quietly(arguments: tuple[str, ...], bare_sesacctl: Cli) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as pipe:
        done = output_to(pipe, bare_sesacctl, *arguments)
    assert (done.returncode, done.stderr) == (141, "")


def output_to(file: Any, cli: Cli, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run with that as standard output."""
    return subprocess.run(
        [sys.executable, "-m", "sesacctl", *arguments],
        env=cli.environment,
        cwd=cli.folder,
        stdin=subprocess.DEVNULL,
        stdout=file,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )


def test_head_takes_the_first_line(bare_sesacctl: Cli) -> None:
    line = f"set -o pipefail; {sys.executable} -m sesacctl config show -o json | head -1"
    done = subprocess.run(
        ["bash", "-c", line],
        env=bare_sesacctl.environment,
        cwd=bare_sesacctl.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("{\n", "")


def test_an_encoding_without_korean_does_not_fail(bare_sesacctl: Cli) -> None:
    done = bare_sesacctl("config", "show", "-o", "json", PYTHONIOENCODING="ascii", KAFKA_GROUP="소비자")
    assert done.returncode == 0
    assert "\\uc18c\\ube44\\uc790" in done.stdout


def test_no_colours_and_no_movement_outside_a_terminal(bare_sesacctl: Cli) -> None:
    bare_sesacctl.environment.pop("NO_COLOR")
    done = bare_sesacctl("config", "show")
    assert "\x1b" not in done.stdout + done.stderr


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_has_colours_unless_disabled(variables: dict[str, str], coloured: bool, bare_sesacctl: Cli) -> None:
    environment = {**bare_sesacctl.environment, "TERM": "xterm-256color", "REDIS_PORT": "x", "COLUMNS": "80"}
    environment.pop("NO_COLOR")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sesacctl", "config", "show"],
        env={**environment, **variables},
        cwd=bare_sesacctl.folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # Linux's way to say that the other side is closed
        pass
    os.close(ours)
    assert process.wait(60) == 0
    assert (b"\x1b[1;31m" in shown or b"\x1b[31m" in shown) is coloured


def test_forty_columns_show_everything(bare_sesacctl: Cli) -> None:
    done = bare_sesacctl("config", "show", "--origin", COLUMNS="40", KAFKA_GROUP="orders-of-the-whole-shop")
    assert max(map(len, done.stdout.splitlines())) <= 40
    assert "orders-of-the-whole-shop" in "".join(done.stdout.split("\n"))


# ---- completion


def complete(cli: Cli, words: str, index: int) -> list[str]:
    """What bash would offer."""
    done = cli(_SESACCTL_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=str(index))
    return done.stdout.split()


def test_completion_offers_commands_options_and_values(bare_sesacctl: Cli) -> None:
    assert complete(bare_sesacctl, "sesacctl he", 1) == ["health"]
    assert {"refresh", "stats"} <= set(complete(bare_sesacctl, "sesacctl cache ", 2))
    assert "--ready" in complete(bare_sesacctl, "sesacctl health --r", 2)
    assert complete(bare_sesacctl, "sesacctl health -o j", 3) == ["json", "jsonl", "junit"]
    assert complete(bare_sesacctl, "sesacctl lag -o j", 3) == ["json", "jsonl"]


def test_a_command_is_loaded_when_it_is_called_and_not_before() -> None:
    group = get_command(app.build())
    stub = group.get_command(typer.Context(group), "health")  # type: ignore[attr-defined]
    assert stub.params == []
    assert json.dumps(app.COMMANDS)
