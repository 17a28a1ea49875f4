"""JUnit XML of checks: one case each, whatever their texts hold, and never a report that passes for no tests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from typer.testing import CliRunner

from sesacctl.cli import app, junit
from sesacctl.cli.audit_checks import checks
from sesacctl.cli.junit import Case, CheckOutput
from sesacctl.errors import CheckFailed, ServerUnreachable
from sesacctl.events import Kind
from sesacctl.pipeline.audit.deep import DeepAudit
from sesacctl.pipeline.audit.ledgers import LedgerAudit
from sesacctl.pipeline.audit.report import AuditResult
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.pipeline.watch import health as health_service
from sesacctl.pipeline.watch.checks import Check, Verdict
from sesacctl.pipeline.watch.health import Health
from sesacctl.settings import load

CHECKS = [
    Check(name="PostgreSQL", verdict=Verdict.OK, evidence="18.4, schema at 0008"),
    Check(name="Redis", verdict=Verdict.WARNING, evidence="nearly full", next="sesacctl cache stats"),
    Check(name="cache", verdict=Verdict.UNKNOWN, evidence="Redis is away"),
    Check(name="consumers", verdict=Verdict.UNHEALTHY, evidence="lag 7 <&> \"'", next="sesacctl consume"),
    Check(name="Kafka", verdict=Verdict.DOWN, evidence="no broker", next="sesacctl up"),
]


def parsed(text: str) -> ElementTree.Element:
    root = ElementTree.fromstring(text.encode())
    [suite] = root
    assert root.attrib == suite.attrib
    return suite


@given(st.lists(st.text(), min_size=3, max_size=3))
@example(["]]>", "</failure>", '"<!--'])
@example(["\x00\x1b[2J", "\ud800\uffff\ufffe", "\u202eabc\r\n\x85\u2028"])
def test_any_text_gives_xml_that_drives_no_terminal(texts: list[str]) -> None:
    name, evidence, problem = texts
    printed = junit.document("audit", [Case(name=name, evidence=evidence, failure=problem), Case(name=name)])
    suite = parsed(printed)
    assert (suite.get("tests"), suite.get("failures"), len(suite)) == ("2", "1", 2)
    assert "\x1b" not in printed
    assert "\u202e" not in printed
    if name.isprintable() and "\uffff" not in name:
        assert suite[0].get("name") == name


def run(monkeypatch: pytest.MonkeyPatch, found: list[Check]) -> Any:
    worst = max((check.verdict for check in found), key=list(Verdict).index)
    monkeypatch.setattr(health_service, "health", lambda *_, **__: Health(verdict=worst, checks=found))
    return CliRunner().invoke(app.build(), ["health", "-o", "junit"])


def test_health_has_a_case_for_each_check(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(monkeypatch, CHECKS)
    assert isinstance(done.exception, ServerUnreachable)
    suite = parsed(done.stdout)
    assert {key: suite.get(key) for key in ("name", "tests", "failures", "errors", "skipped")} == {
        "name": "health",
        "tests": "5",
        "failures": "2",
        "errors": "0",
        "skipped": "1",
    }
    assert [case.get("name") for case in suite] == [check.name for check in CHECKS]
    assert [[child.tag for child in case] for case in suite] == [
        ["system-out"],
        ["system-out"],
        ["skipped"],
        ["failure", "system-out"],
        ["failure", "system-out"],
    ]
    assert suite[3][0].get("message") == "unhealthy: lag 7 <&> \"'"
    assert suite[3][0].text == "unhealthy: lag 7 <&> \"'\nnext: sesacctl consume"


def test_a_healthy_loop_is_a_report_without_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    done = run(monkeypatch, CHECKS[:1])
    assert done.exit_code == 0
    assert parsed(done.stdout).get("failures") == "0"
    assert done.stdout.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')


def test_an_audit_that_cannot_be_made_is_an_error_in_the_report() -> None:
    environment = {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": "1"}
    done = CliRunner().invoke(app.build(), ["audit", "-o", "junit"], env=environment)
    assert isinstance(done.exception, ServerUnreachable)
    suite = parsed(done.stdout)
    assert (suite.get("tests"), suite.get("errors")) == ("1", "1")
    assert "cannot be reached" in str(suite[0][0].get("message"))


def test_other_forms_report_no_error_as_xml(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CheckFailed), junit.errors_reported(CheckOutput.JSON, suite="audit"):
        raise CheckFailed("x")
    assert capsys.readouterr().out == ""


def audited(**different: Any) -> AuditResult:
    counts = {"orders": 5, "users": 1, "products": 1}
    values: dict[str, Any] = {
        "group": "g", "ok": True, "taken": 7, "missing": 0, "lag": 0, "cut": 0, "duplicated": 0, "counts": Counts(),
        "rows": counts, "gone": dict.fromkeys(counts, 0), "elsewhere": dict.fromkeys(counts, 0), "pruned": 0,
        "forgotten": 0,
    }  # fmt: skip
    return AuditResult(**values | different)


DEEP = DeepAudit(
    read=7, found=7, patched=0, kept=0, removed=0, expired=0, cut=0, missing=2, named=[],
    compared={Kind.ORDERS: ("quantity",)}, different=1, named_different=[],
)  # fmt: skip
LEDGER = LedgerAudit(
    acknowledged=5, stored=3, parked=0, dead=0, removed=0, missing=1, unacknowledged=0, unacknowledged_stored=0,
    doubled=1, unknown=0, named=[],
)  # fmt: skip


def test_an_audit_has_a_case_for_each_thing_that_it_proves() -> None:
    clean = list(checks(audited(), load()))
    assert len({check.name for check in clean}) == len(clean) == 3
    assert [check.problem for check in clean] == [None] * 3
    whole = list(checks(audited(deep=DEEP, ledger=LEDGER), load()))
    assert len({check.name for check in whole}) == len(whole) == 7
    assert [bool(check.problem) for check in whole] == [False] * 3 + [True] * 4


def test_what_an_audit_finds_is_said_with_what_to_do() -> None:
    cut = SimpleNamespace(topic="orders", partition=3, cut=SimpleNamespace(detail="its end is gone"))
    result = audited(cuts=cast("Any", [cut]), duplicated=2, gone={"orders": 4, "users": 0})
    found = {check.problem: check.hint for check in checks(result, load())}
    assert list(found) == [
        "orders-3: its end is gone",
        "0 offsets are not accounted for, 2 ids are stored more than once",
        "rows that were stored are gone, at least 4 from orders",
    ]
    assert [hint.split(",")[0].split(":")[0] for hint in found.values()] == [
        "restore the topic",
        "sesacctl lag",
        "restore them",
    ]
