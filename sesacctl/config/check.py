"""Are the settings right, as far as that can be said without asking a server?"""

from __future__ import annotations

import io
import stat
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from sesacctl import settings as settings_module
from sesacctl.errors import ConfigurationError
from sesacctl.home import ENCODING
from sesacctl.settings import ENV_FILE, Settings, is_secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something about a setting; one that is not `wrong` is only worth knowing."""

    variable: str
    wrong: bool
    problem: str
    next: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What was found; `ok` if nothing is wrong."""

    ok: bool
    findings: list[Finding]


def check() -> Configuration:
    """Values, what belongs together, and the `.env` file itself.

    Raises:
        ConfigurationError: a file cannot be read.
    """
    try:
        bad_lines = settings_module.bad_lines(ENV_FILE)
    except UnicodeDecodeError:
        unreadable = Finding(variable=str(ENV_FILE), wrong=True, problem="is not UTF-8 text", next="save it as UTF-8")
        return Configuration(ok=False, findings=[unreadable])
    findings = [
        Finding(variable=str(ENV_FILE), wrong=True, problem=f"line {line} is not NAME=value") for line in bad_lines
    ]
    findings = findings or _values() or _combinations(settings_module.load())
    if ENV_FILE.is_file():
        findings += _file(ENV_FILE)
    return Configuration(ok=not any(finding.wrong for finding in findings), findings=findings)


def _values() -> list[Finding]:
    return [
        Finding(variable=variable.variable, wrong=True, problem=f"{variable.problem} (from {variable.origin})")
        for variable in settings_module.explain()
        if variable.problem
    ]


def _combinations(settings: Settings) -> list[Finding]:
    from sesacctl.broker import clients
    from sesacctl.cache import connections
    from sesacctl.database import location

    checks: dict[str, Callable[[Settings], object]] = {
        "PostgreSQL": location.locate,
        "Redis": connections.connect,
        "Kafka": clients.connection_options,
    }
    findings = []
    for name, make in checks.items():
        try:
            make(settings)
        except ConfigurationError as error:
            findings.append(Finding(variable=name, wrong=True, problem=str(error)))
    return findings


def _file(path: Path) -> list[Finding]:
    bindings = list(parse_stream(io.StringIO(path.read_text(encoding=ENCODING))))
    findings = _names(path, bindings)
    secrets = {name.upper() for name, field in Settings.model_fields.items() if is_secret(field)}
    if path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH) and any(
        binding.key in secrets and binding.value for binding in bindings
    ):
        findings.append(
            Finding(variable=str(path), wrong=False, problem="others may read its passwords", next=f"chmod 600 {path}")
        )
    return findings


def _names(path: Path, bindings: list[Binding]) -> list[Finding]:
    known = [name.upper() for name in Settings.model_fields]
    findings = []
    for name, times in Counter(binding.key for binding in bindings if binding.key).items():
        if times > 1:
            findings.append(
                Finding(variable=name, wrong=False, problem=f"set {times} times in {path}: the last one counts")
            )
        if name.upper() not in known and (close := get_close_matches(name.upper(), known, cutoff=0.85)):
            findings.append(Finding(variable=name, wrong=False, problem=f"no setting; is {close[0]} meant?"))
    return findings
