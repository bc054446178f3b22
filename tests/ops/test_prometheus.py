"""Prometheus's configuration and alert rules, checked with its own programs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from stream.adapters.metric_table import METRICS

if TYPE_CHECKING:
    from tests.ops.conftest import Prometheus

ROOT = Path(__file__).parents[2]
HOME = ROOT / "grafana" / "prometheus"
RULES = sorted((HOME / "rules").glob("*.yml"))
TESTS = sorted((HOME / "tests").glob("*.yml"))


def rules_of(path: Path) -> list[dict[str, Any]]:
    """All rules in a file."""
    return [rule for group in yaml.safe_load(path.read_text())["groups"] for rule in group["rules"]]


ALERTS = {rule["alert"]: rule for path in RULES for rule in rules_of(path) if "alert" in rule}
SERVER_METRICS = {"up", "ALERTS"}


def promtool(*arguments: str | Path) -> str:
    """Runs promtool; fails with its own words."""
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.tools("promtool")
def test_the_configuration_is_valid() -> None:
    """Prometheus would load the stack's configuration (whose token file exists in the container only)."""
    assert "SUCCESS" in promtool("check", "config", "--syntax-only", HOME / "prometheus.yml")


@pytest.mark.tools("promtool")
def test_the_rules_are_valid() -> None:
    """Prometheus would load every rule, its query and its templates."""
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", *RULES)


@pytest.mark.tools("promtool")
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should(path: Path) -> None:
    """The scenarios of the alert rules hold."""
    assert "SUCCESS" in promtool("test", "rules", path)


@pytest.mark.parametrize("name", ALERTS)
def test_every_alert_is_shown_to_fire_and_to_keep_silent(name: str) -> None:
    """For each alert there is a scenario in which it fires and one in which it doesn't."""
    checks = [
        bool(check["exp_samples"])
        for path in TESTS
        for case in yaml.safe_load(path.read_text())["tests"]
        for check in case["promql_expr_test"]
        if f'alertname="{name}"' in check["expr"]
    ]

    assert {True, False} == set(checks)


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_happened_and_what_to_do(name: str) -> None:
    """Whoever is woken reads what happened and what to do; the docs list every alert."""
    rule = ALERTS[name]
    notes = rule["annotations"]

    assert {"summary", "description", "runbook"} == set(notes)
    assert len(notes["runbook"]) > 80
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert re.fullmatch(r"\d+[mh]", rule["for"])
    assert f"`{name}`" in (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def test_every_metric_in_rules_and_scenarios_exists() -> None:
    """A metric that was renamed can't leave an alert behind that never fires again."""
    recorded = {rule["record"] for path in RULES for rule in rules_of(path) if "record" in rule}
    names = {metric.name for metric in METRICS if metric.kind != "histogram"}
    names |= {f"{metric.name}_{part}" for metric in METRICS if metric.buckets for part in ("bucket", "sum", "count")}
    expressions = " ".join(rule["expr"] for path in RULES for rule in rules_of(path))
    series = " ".join(
        entry["series"]
        for path in TESTS
        for case in yaml.safe_load(path.read_text())["tests"]
        for entry in case["input_series"]
    )
    used = set(re.findall(r"\b(?:[a-z]+:)?winback_[a-z_]+(?::[a-z0-9_]+)?", f"{expressions} {series}"))

    assert used - names - recorded == set()


def test_labels_in_scenarios_are_those_of_the_metrics() -> None:
    """The scenarios feed series as a worker exposes them."""
    table = {metric.name: set(metric.labels) for metric in METRICS}
    target = {"job", "instance", "le"}
    for path in TESTS:
        for case in yaml.safe_load(path.read_text())["tests"]:
            for entry in case["input_series"]:
                name = entry["series"].partition("{")[0].removesuffix("_bucket")
                labels = set(re.findall(r"(\w+)=", entry["series"])) - target
                assert labels <= table.get(name, SERVER_METRICS & {name}), entry["series"]


@pytest.mark.tools("prometheus")
def test_a_real_prometheus_reads_the_worker(prometheus: Prometheus) -> None:
    """With the token that its configuration names, Prometheus scrapes the worker without an error."""

    def targets() -> list[tuple[str, str]]:
        active = prometheus.get("/api/v1/targets")["activeTargets"]
        return [(target["health"], target["lastError"]) for target in active]

    prometheus.until(lambda: targets() == [("up", "")])

    assert [("up", "")] == targets()
    prometheus.until(lambda: prometheus.query('up{job="winback"}') == [1.0])
    assert [1.0] == prometheus.query('up{job="winback"}')


@pytest.mark.tools("prometheus")
def test_a_real_prometheus_evaluates_every_rule(prometheus: Prometheus) -> None:
    """Every recording and alerting rule is evaluated on real metrics without an error."""

    def states() -> set[tuple[str, str]]:
        groups = prometheus.get("/api/v1/rules")["groups"]
        return {(rule["health"], rule.get("lastError", "")) for group in groups for rule in group["rules"]}

    prometheus.until(lambda: states() == {("ok", "")})

    assert {("ok", "")} == states()
