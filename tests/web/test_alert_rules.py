"""The alert rules for Prometheus speak of metrics, labels, routes and runbooks that are there."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask
from prometheus_client.parser import text_string_to_metric_families

from backend.operations.backups.manifest import Manifest
from backend.operations.backups.textfile import write_textfile
from backend.web.metrics import WorkersMemory
from tests.hospital import Hospital, sign_in
from tests.waiting import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
RULES = ROOT / ".prometheus" / "valmed.rules.yml"
PROMTOOL = shutil.which("promtool")
NAME = re.compile(r"\bvalmed_\w+")
FULFIL = "/api/v1/orders/<uuid:order_id>/fulfill"


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


@pytest.fixture
def told(app: Flask, hospital: Hospital, tmp_path: Path) -> set[str]:
    """The names of all metrics and samples, as the application and a backup tell them after some use."""
    hospital.receive(1)
    nurse = sign_in(app, hospital, "nurse")
    assert nurse.post(f"/orders/{hospital.place()}/fulfill", {}).status_code == 200
    figures = dict.fromkeys(("sha256", "valmed", "postgresql", "program", "database", "owner", "revision"), "")
    manifest = Manifest(
        kind="dump",
        bytes=1,
        started_at="2026-01-01T00:00:00Z",
        completed_at="2026-01-01T00:00:00Z",
        roles=[],
        **figures,
    )
    write_textfile(tmp_path / "valmed.prom", manifest)
    text = app.test_client().get("/metrics").text + (tmp_path / "valmed.prom").read_text()
    families = list(text_string_to_metric_families(text))
    counters = {f"{family.name}_total" for family in families if family.type == "counter"}
    samples = {sample.name for family in families for sample in family.samples}
    return {family.name for family in families} | counters | samples | {f.name for f in WorkersMemory(0).collect()}


def test_every_metric_of_a_rule_is_told(told: set[str]) -> None:
    named = {name for rule in rules() for name in NAME.findall(rule["expr"])}
    assert len(named) > 12
    assert named <= told


def test_every_counter_that_tells_of_trouble_has_a_rule() -> None:
    named = {name for rule in rules() for name in NAME.findall(rule["expr"])}
    source = (ROOT / "backend" / "observability.py").read_text()
    counters = set(re.findall(r'Counter\(\s*"(valmed_\w+)"', source))
    assert counters - named == {"valmed_fulfilments_total", "valmed_board_cache_total"}, "those tell of no trouble"


def test_every_route_and_every_label_of_a_rule_is_there(app: Flask, hospital: Hospital) -> None:
    routes = {rule.rule for rule in app.url_map.iter_rules()}
    for rule in rules():
        for value in re.findall(r'route!?~?="([^"]+)"', rule["expr"]):
            assert set(value.split("|")) <= routes, rule["alert"]
    text = app.test_client().get("/metrics").text
    for sample in (
        'sign_in_failures_total{outcome="failed"}',
        'drift_runs_total{outcome="failed"}',
        'readers_dropped_total{reason="slow"}',
        "build_info{version=",
    ):
        assert f"valmed_{sample}" in text, "there before it has happened, so that the first time is an increase"


def test_every_alert_has_a_severity_a_summary_and_a_runbook_of_the_readme() -> None:
    headings = re.findall(r"^#+ (.+)$", (ROOT / "README.md").read_text(), re.M)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]
        file, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert file == "README.md"
        assert anchor in anchors, rule["alert"]


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
@pytest.mark.parametrize("task", [("check", "valmed.rules.yml"), ("test", "valmed.tests.yml")])
def test_promtool_is_content(task: tuple[str, str]) -> None:
    verb, file = task
    done = subprocess.run(
        [str(PROMTOOL), verb, "rules", file],
        cwd=RULES.parent,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_but_the_missing_backup_is_tried() -> None:
    tried = yaml.safe_load((RULES.parent / "valmed.tests.yml").read_text())["tests"]
    spoken = {case["alertname"] for test in tried for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert {rule["alert"] for rule in rules()} - spoken <= {"ValmedBackupMissing", "ValmedStatementsTimeOut"}
