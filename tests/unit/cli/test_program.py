"""A hint can be typed as it stands, also where the program is not on PATH."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sesacctl.cli import render
from sesacctl.cli.program import as_typed


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "my venv" / "sesacctl"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("hint", "typed"),
    [
        ("sesacctl up", "'{}' up"),
        ("sesacctl lag, then sesacctl audit", "'{}' lag, then '{}' audit"),
        ("upgrade sesacctl, and try again", "upgrade sesacctl, and try again"),
    ],
)
def test_a_program_called_by_its_path_is_named_by_it(
    hint: str, typed: str, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(program), "demo"])
    monkeypatch.setenv("PATH", "/usr/bin")
    assert as_typed(hint) == typed.replace("{}", str(program))


def test_a_program_on_path_is_named_by_its_name(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", str(program.parent))
    assert as_typed("sesacctl up") == "sesacctl up"


def test_another_program_of_that_name_is_not_advised(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other" / "sesacctl"
    other.parent.mkdir()
    other.write_text("")
    other.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", str(other.parent))
    assert as_typed("sesacctl up") == f"'{program}' up"


@pytest.mark.parametrize("called", ["sesacctl", "/x/sesacctl/__main__.py"])
def test_another_way_to_call_it_leaves_hints_alone(called: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [called])
    monkeypatch.setenv("PATH", "/usr/bin")
    assert as_typed("sesacctl up") == "sesacctl up"


def test_the_next_command_is_shown_so(
    program: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(program)])
    monkeypatch.setenv("PATH", "/usr/bin")
    render.next_command("sesacctl up")
    assert capsys.readouterr().err == f"next: '{program}' up\n"
