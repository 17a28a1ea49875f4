"""deploy/prometheus and deploy/grafana without servers: rules, runbooks, scrape targets, provisioning, dashboards.

tests/integration/test_dashboards.py holds rules and dashboards against figures and tables that are really there.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import rules
from tests.helpers import documents, monitoring
from tests.helpers.documents import ROOT

DEPLOY = ROOT / "deploy"
FOLDER = rules.SOURCES
ALERTS = [rule for group in rules.groups() for rule in group["rules"]]
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text("utf-8"))
PROVISIONING = DEPLOY / "grafana" / "provisioning"
SDK = ROOT / ".venv-dashboards" / "bin" / "python"
OPERATIONS = "docs/operations.md"

promtool = pytest.mark.skipif(not shutil.which("promtool"), reason="Debian package prometheus is not installed")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)


@promtool
def test_rules_do_what_their_tests_say() -> None:
    done = run("promtool", "test", "rules", "rules.test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@promtool
def test_prometheus_accepts_configuration_and_rules() -> None:
    done = run("promtool", "check", "config", "prometheus.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not shutil.which("amtool"), reason="Debian package prometheus-alertmanager is not installed")
def test_alertmanager_accepts_the_sample() -> None:
    done = run("amtool", "check-config", "alertmanager.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_to_fire_and_to_be_silent() -> None:
    """In rules.test.yml; what fires there is compared with all its labels and words."""
    tests = yaml.safe_load((FOLDER / "rules.test.yml").read_text("utf-8"))["tests"]
    seen = [(case["alertname"], bool(case["exp_alerts"])) for test in tests for case in test["alert_rule_test"]]
    assert set(seen) == {(alert["alert"], fires) for alert in ALERTS for fires in (True, False)}


def test_every_alert_leads_to_a_runbook() -> None:
    text = (ROOT / OPERATIONS).read_text("utf-8")
    anchors = {documents.anchor(title): title for _, title in documents.headings(text)}
    assert len({alert["alert"] for alert in ALERTS}) == len(ALERTS) > 15
    for alert in ALERTS:
        page, _, anchor = alert["annotations"]["runbook"].partition("#")
        assert page == OPERATIONS
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert anchor in anchors, alert["alert"]
        runbook = text.partition(f"### {anchors[anchor]}\n")[2].partition("\n##")[0]
        assert f"`{alert['alert']}`" in runbook
        assert [word for word in ("Means", "Look", "Run") if f"- **{word}.**" not in runbook] == []
        assert list(documents.documented_commands(runbook)), f"{anchor} says no command"


def test_no_runbook_is_without_its_alerts() -> None:
    text = (ROOT / OPERATIONS).read_text("utf-8")
    named = set(re.findall(r"`(Sesacctl\w+)`", text))
    sample = set(re.findall(r"Sesacctl\w+", (FOLDER / "alertmanager.yml").read_text("utf-8")))
    assert named == {alert["alert"] for alert in ALERTS}
    for name in sample:
        assert any(alert["alert"].startswith(name) for alert in ALERTS), name


def test_targets_are_services_that_serve_figures() -> None:
    scrape = yaml.safe_load((FOLDER / "prometheus.yml").read_text("utf-8"))["scrape_configs"]
    assert [job["job_name"] for job in scrape] == ["sesacctl"]
    targets = {target for config in scrape[0]["static_configs"] for target in config["targets"]}
    targets |= {f"{name}:{config['port']}" for config in scrape[0]["dns_sd_configs"] for name in config["names"]}
    serving = {
        f"{name}:{service['command'][service['command'].index(option) + 1]}"
        for name, service in COMPOSE["services"].items()
        for option in ("--metrics-port", "--port")
        if "build" in service and option in service["command"]
    }
    assert targets == serving


def test_compose_mounts_what_prometheus_and_grafana_read() -> None:
    mounts = {
        inside: DEPLOY / outside
        for name in ("prometheus", "grafana")
        for outside, inside, *_ in (volume.split(":") for volume in COMPOSE["services"][name]["volumes"])
    }
    [config] = [word for word in COMPOSE["services"]["prometheus"]["command"] if "config.file" in word]
    assert config == "--config.file=/etc/prometheus/prometheus.yml"
    assert (mounts["/etc/prometheus"] / "prometheus.yml").is_file()
    assert mounts["/etc/grafana/provisioning"] == PROVISIONING
    [provider] = yaml.safe_load((PROVISIONING / "dashboards" / "sesacctl.yml").read_text("utf-8"))["providers"]
    assert mounts[provider["options"]["path"]] == monitoring.DASHBOARDS
    home = COMPOSE["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    folder, _, name = home.rpartition("/")
    assert (mounts[folder] / name).is_file()


def test_provisioned_sources_are_those_that_the_dashboards_ask() -> None:
    text = (PROVISIONING / "datasources" / "sesacctl.yml").read_text("utf-8")
    sources = yaml.safe_load(text)["datasources"]
    asked = {
        variable["query"]
        for board in monitoring.boards().values()
        for variable in board["templating"]["list"]
        if variable["type"] == "datasource"
    }
    assert {source["type"] for source in sources} == asked
    assert set(re.findall(r": \$(\w+)", text)) <= COMPOSE["services"]["grafana"]["environment"].keys()
    assert not re.search(r"password: [^$]", text)


@pytest.mark.parametrize("name", ["loop", "shop"])
def test_dashboards_are_whole(name: str) -> None:
    board = monitoring.boards()[name]
    assert board["uid"] == f"sesacctl-{name}"
    panels = monitoring.panels(board)
    assert len(panels) > 10
    known = {f"${{{variable['name']}}}" for variable in board["templating"]["list"]}
    for panel in panels:
        assert panel["datasource"]["uid"] in known
        assert panel["targets"]
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24


@pytest.mark.skipif(not SDK.exists(), reason="make dashboards makes .venv-dashboards")
def test_dashboards_are_what_their_python_says(tmp_path: Path) -> None:
    done = run(str(SDK), str(DEPLOY / "grafana" / "dashboards.py"), str(tmp_path))
    assert done.returncode == 0, done.stderr
    for path in monitoring.DASHBOARDS.glob("*.json"):
        assert (tmp_path / path.name).read_text("utf-8") == path.read_text("utf-8"), "make dashboards"


def test_what_writes_the_dashboards_is_pinned_by_hash() -> None:
    lock = (DEPLOY / "grafana" / "requirements.lock").read_text("utf-8")
    assert re.fullmatch(r"(\S+==\S+( \\\n    --hash=sha256:\w{64})+\n)+", lock)


def test_titles_of_the_shop_are_in_both_languages() -> None:
    titles = [panel["title"] for panel in monitoring.panels(monitoring.boards()["shop"])]
    assert [title for title in titles if not re.fullmatch(r"[^·]*[가-힣][^·]* · [A-Z][ -~]+", title)] == []


def test_won_and_counts_share_no_scale() -> None:
    """Grafana has a scale for each unit: on one with amounts, a count has no height."""
    bars = [panel for panel in monitoring.panels(monitoring.boards()["shop"]) if panel["type"] == "barchart"]
    mixed = [panel for panel in bars if '"금액 · won"' in panel["targets"][0]["rawSql"]]
    assert len(mixed) > 4
    won = {
        "matcher": {"id": "byName", "options": "금액 · won"},
        "properties": [{"id": "unit", "value": "currencyKRW"}],
    }
    assert [panel["title"] for panel in mixed if won not in panel["fieldConfig"]["overrides"]] == []


def test_metric_names_are_found_in_expressions() -> None:
    expression = (
        'sum by (a, le) (rate(x_total{b="c_d"}[5m] offset 1m)) / on (e) group_left max(y > 0 and z{f=~"$g"})'
        " or histogram_quantile(0.9, h_bucket) == bool 1e3"
    )
    assert monitoring.metric_names(expression) == {"x_total", "y", "z", "h_bucket"}
    assert monitoring.metric_names("absent(up) unless ignoring (a) b:c:rate5m") == {"up", "b:c:rate5m"}
