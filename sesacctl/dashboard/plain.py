"""A look as a plain HTML table, for browsers without JavaScript: rendered here, and loaded again by the browser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from sesacctl import formatting

AGAIN_SECONDS = 5
_STATES = frozenset({"ok", "slow", "stalled", "away", "unknown"})
_EVENTS = 20
_PARTITION = ("partition", "lag", "leader", "in sync", "owner")


def render(look: Mapping[str, Any]) -> str:
    """The page; `look` is one as JSON has it."""
    top = look["top"]
    bottleneck = next((stage["title"] for stage in top["stages"] if stage["key"] == top["bottleneck"]), None)
    verdict = f"{bottleneck}: {top['reason']}" if bottleneck else top["reason"]
    command = f"<p>Run next: <code>{_text(look['command'])}</code></p>" if look["command"] else ""
    tables = "".join(
        (
            _stages(top["stages"], look["stages"]),
            _table("Brokers", ("broker", "state", "leads", "in sync"), map(_broker, look["brokers"])),
            _table("Instances", ("member", "host", "state", "partitions"), map(_instance, look["instances"])),
            _table("Partitions", _PARTITION, map(_line, top["partitions"] or ())),
            _table("Not stored", ("topic", "reason", "records", "oldest"), _waiting(look["waiting"])),
            _table("Events", ("time", "what"), ((e["at"], e["text"]) for e in look["events"][-_EVENTS:])),
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>sesacctl</title>'
        f'<meta http-equiv="refresh" content="{AGAIN_SECONDS}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="/static/plain.css"></head><body><main>'
        f"<h1>{_text(top['database'])}, group {_text(top['group'])}</h1>"
        f"<p>{_text(verdict)}</p>{command}<p>As of {_text(look['at'])}</p>{tables}</main></body></html>"
    )


def _text(value: object) -> str:
    """For between tags and in quotes; direction marks in it turn nothing around outside of it."""
    return f"<bdi>{escape(str(value))}</bdi>"


def _number(value: float | None, unit: str = "") -> str:
    return "?" if value is None else f"{value:,g}{unit}"


def _stages(stages: Sequence[Mapping[str, Any]], states: Mapping[str, str]) -> str:
    rows = []
    for stage in stages:
        state = states[stage["key"]]
        shown = state if state in _STATES else "unknown"
        rows.append(
            f'<tr><th scope="row">{_text(stage["title"])}</th><td class="state-{shown}">{shown}</td>'
            f"<td>{_number(stage['rate'])} {_text(stage['unit'])}/s</td>"
            f"<td>{'?' if stage['age'] is None else formatting.duration_text(stage['age'])}</td>"
            f"<td>{_number(stage['backlog'])} {_text(stage['backlog_unit'])}</td>"
            f"<td>{_text(stage['problem'] or '')}</td></tr>"
        )
    return _framed("The loop", ("stage", "state", "rate", "age", "waiting", "problem"), "".join(rows))


def _broker(line: Mapping[str, Any]) -> tuple[object, ...]:
    state = {True: "in service", False: "down", None: "unknown"}[line["up"]]
    return line["id"], state, line["leads"], f"{line['in_sync']} of {line['replicas']}"


def _instance(line: Mapping[str, Any]) -> tuple[object, ...]:
    names = ", ".join(f"{topic}-{number}" for topic, number in line["partitions"])
    return line["member"], line["host"], "in the group" if line["up"] else f"gone since {line['since']}", names


def _line(line: Mapping[str, Any]) -> tuple[object, ...]:
    copies = f"{line['in_sync']} of {line['replicas']}"
    return f"{line['topic']}-{line['partition']}", _number(line["lag"]), line["leader"], copies, line["member"] or ""


def _waiting(waiting: Mapping[str, Any] | None) -> Iterable[tuple[object, ...]]:
    for name in ("dead", "parked") if waiting else ():
        for each in (waiting or {})[name]:
            reason = each["reason"] if name == "dead" else f"parked: {each['reason']}"
            yield each["topic"], reason, each["count"], formatting.duration_text(each["oldest"])


def _table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    found = [f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows]
    return _framed(caption, columns, "".join(found)) if found else ""


def _framed(caption: str, columns: Sequence[str], rows: str) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
