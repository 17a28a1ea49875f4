"""The dashboards and rules as data: their queries, the metrics in them, and the answers of a real Prometheus."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from sesacctl.stack import ports
from tests.deploy import rules
from tests.helpers.documents import ROOT
from tests.helpers.waiting import wait_until

DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
# What Grafana puts in.
_VARIABLES = {"$__rate_interval": "1m", "$group": ".*"}
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_NOT_NAMES = {"by", "without", "on", "ignoring", "group_left", "group_right", "and", "or", "unless", "offset", "bool"}
_ANSWER_SECONDS = 10


def boards() -> dict[str, dict[str, Any]]:
    """The committed dashboards by name."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(DASHBOARDS.glob("*.json"))}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Its panels, rows left out."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions() -> list[tuple[str, str]]:
    """Where and what: each expression of the loop's dashboard, as Grafana would send it."""
    return [(title, expression) for title, expression, _ in _targets()]


def _targets() -> Iterator[tuple[str, str, str]]:
    for panel in panels(boards()["loop"]):
        for target in panel["targets"]:
            yield panel["title"], as_sent(target["expr"]), target.get("legendFormat", "")


def as_sent(expression: str) -> str:
    """With Grafana's variables put in."""
    for name, value in _VARIABLES.items():
        expression = expression.replace(name, value)
    return expression


def asked_labels() -> list[tuple[str, set[str], set[str]]]:
    """Of each panel's target and each alert: its name, metrics and labels, those in its words included."""
    found = list(_targets())
    found += [
        (rule["alert"], rule["expr"], str(rule["annotations"])) for group in rules.groups() for rule in group["rules"]
    ]
    return [(name, metric_names(text), _labels(text, words)) for name, text, words in found]


def _labels(expression: str, words: str) -> set[str]:
    lists = re.findall(r"\b(?:by|on|ignoring|without)\s*\(([^)]*)\)", expression)
    named = re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', expression)
    said = re.findall(r"\{\{(\w+)\}\}|\$labels\.(\w+)", words)
    return set(re.findall(r"\w+", " ".join([*lists, *named, *(one or other for one, other in said)])))


def variable_metrics() -> set[str]:
    """The metrics whose labels the loop's dashboard offers to choose from."""
    queries = [variable["query"] for variable in boards()["loop"]["templating"]["list"] if variable["type"] == "query"]
    return set(re.findall(r"label_values\((\w+),", " ".join(queries)))


def rule_expressions() -> list[tuple[str, str]]:
    """Name and expression of each rule."""
    return [(rule.get("alert") or rule["record"], rule["expr"]) for group in rules.groups() for rule in group["rules"]]


def statements() -> list[tuple[str, str]]:
    """Title and SQL of each of the shop's panels, for the last day."""
    return [
        (panel["title"], for_last_day(sql))
        for panel in panels(boards()["shop"])
        for sql in (target["rawSql"] for target in panel["targets"])
    ]


def for_last_day(sql: str) -> str:
    """With Grafana's macro put in."""
    return re.sub(r"\$__timeFilter\(([\w.]+)\)", r"\1 BETWEEN now() - '1 day'::interval AND now()", sql)


def metric_names(expression: str) -> set[str]:
    """The metrics that it asks for."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", bare)
    bare = re.sub(r"\boffset\s+\w+", " ", _GROUPING.sub(" ", bare))
    words = re.findall(r"(?<![\w:.])([a-zA-Z_:][\w:]*)(?!\s*\()(?![\w:])", bare)
    return {word for word in words if word not in _NOT_NAMES}


@contextmanager
def prometheus(folder: Path, targets: Sequence[str]) -> Iterator[str]:
    """A Prometheus with our rules that scrapes `targets` often; its address."""
    [port] = ports.choose(1)
    (folder / "rules.yml").write_text((rules.SOURCES / "rules.yml").read_text("utf-8"), "utf-8")
    configuration = yaml.safe_load((rules.SOURCES / "prometheus.yml").read_text("utf-8"))
    # A look at the servers takes longer than a second on a busy machine; one that is cut off has no figures.
    configuration["global"] = {"scrape_interval": "3s", "scrape_timeout": "3s", "evaluation_interval": "1s"}
    job = configuration["scrape_configs"][0]
    configuration["scrape_configs"] = [
        {"job_name": job["job_name"], "static_configs": [{"targets": list(targets)}]},
    ]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration), "utf-8")
    address = f"http://127.0.0.1:{port}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [
                *("prometheus", f"--config.file={folder / 'prometheus.yml'}"),
                *(f"--storage.tsdb.path={folder / 'data'}", f"--web.listen-address=127.0.0.1:{port}"),
            ],
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: _is_ready(address), message=f"Prometheus is not ready: {folder / 'log'}")
        yield address
    finally:
        process.kill()
        process.wait()


def ask(address: str, path: str, **parameters: str) -> Any:
    """What Prometheus's API answers.

    Raises:
        AssertionError: it refuses, with its reason.
    """
    query = urllib.parse.urlencode(parameters)
    try:
        with _open(f"{address}/api/v1/{path}?{query}") as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{parameters}: {error.read().decode()}") from None


def series(address: str, expression: str) -> list[Any]:
    """What a panel would draw now."""
    found = ask(address, "query", query=expression)["result"]
    return [each for each in found if each["value"][1] != "NaN"]


def scraped(target: str) -> dict[str, set[str]]:
    """The metrics that a target says there are, and the labels of those that it has a figure for now."""
    with _open(f"http://{target}/metrics") as answer:
        text = answer.read().decode()
    found: dict[str, set[str]] = {}
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE):
        ends = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        found |= {f"{name}{end}": set() for end in ends}
    for name, labels in re.findall(r"^(\w+)(?:\{(.*)\})? [^ ]+$", text, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def _open(url: str) -> Any:
    return urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=_ANSWER_SECONDS)


def _is_ready(address: str) -> bool:
    try:
        return bool(_open(f"{address}/-/ready").status == 200)
    except OSError:
        return False
