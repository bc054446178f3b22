"""The Grafana dashboard: sound by itself, made of metrics that exist, and answered by a real Prometheus."""

from __future__ import annotations

import itertools
import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from stream.adapters.metric_table import METRICS

if TYPE_CHECKING:
    from tests.ops.conftest import Prometheus

GRAFANA = Path(__file__).parents[2] / "grafana"
DASHBOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "winback.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
CHARTS = [panel for panel in PANELS if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in CHARTS for target in panel["targets"]]
QUESTIONS = ["Is it keeping up?", "What is it refusing?", "What is it doing to customers?", "Who are they?"]
QUESTIONS += ["Does the programme work?", "Can the model be trusted?"]
PROCESS_METRICS = {"process_cpu_seconds_total", "process_resident_memory_bytes"}
"""Come from the client library, not from our table."""


def recorded() -> set[str]:
    """Names of the recording rules."""
    groups = yaml.safe_load((GRAFANA / "prometheus/rules/recording.yml").read_text())["groups"]
    return {rule["record"] for group in groups for rule in group["rules"]}


def names_in(text: str) -> set[str]:
    """Metric names in PromQL; the series of a histogram count as the histogram."""
    found = set(re.findall(r"\b(?:[a-z]+:)?(?:winback|process)_[a-z_]+(?::[a-z0-9_]+)?", text))
    histograms = "|".join(metric.name for metric in METRICS if metric.kind == "histogram")
    return {re.sub(rf"^({histograms})_(bucket|sum|count)$", r"\1", name) for name in found}


@pytest.fixture
def concrete() -> Callable[[str], str]:
    """What fills Grafana's variables in, as Grafana would with a short range and all workers."""
    return lambda query: query.replace("$__rate_interval", "10s").replace("$worker", ".*")


def test_the_json_is_current() -> None:
    """The file that Grafana loads is what `grafana/dashboard.py` describes."""
    described = runpy.run_path(str(GRAFANA / "dashboard.py"))["render"]()

    assert described == (GRAFANA / "dashboards" / "winback.json").read_text(encoding="utf-8")


def test_questions_are_the_rows() -> None:
    """The rows are the questions in order, and each is followed by its panels."""
    rows = [panel["title"] for panel in PANELS if panel["type"] == "row"]

    assert rows == QUESTIONS
    assert not [a for a, b in itertools.pairwise(PANELS) if a["type"] == b["type"] == "row"]


def test_panels_can_be_told_apart() -> None:
    """Ids and titles are unique, and reference ids within a panel."""
    assert sorted({panel["id"] for panel in PANELS}) == [panel["id"] for panel in PANELS]
    assert len(PANELS) == len({panel["title"] for panel in PANELS})
    for panel in CHARTS:
        references = [target["refId"] for target in panel["targets"]]
        assert len(references) == len(set(references)) > 0, panel["title"]


def test_panels_lie_side_by_side() -> None:
    """No two panels overlap, none leaves the grid, and there is no hole that Grafana would close by moving panels."""
    cells: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & own, panel["title"]
        assert at["x"] >= 0
        assert at["x"] + at["w"] <= 24, panel["title"]
        cells |= own

    assert {(x, y) for x in range(24) for y in range(max(y for _, y in cells) + 1)} == cells


@pytest.mark.parametrize("panel", CHARTS, ids=lambda panel: panel["title"])
def test_a_panel_explains_itself(panel: dict[str, Any]) -> None:
    """Every panel has a title, what to make of it, a unit that Grafana knows, thresholds, a legend and our data source."""
    defaults = panel["fieldConfig"]["defaults"]

    assert re.fullmatch(r"[A-Z].{2,45}", panel["title"])
    assert re.fullmatch(r"[A-Z0-9].{20,}[.]", panel["description"])
    assert defaults["unit"] in {"none", "short", "s", "bytes", "percentunit", "eps", "cps", "mps"}
    steps = [step["value"] for step in defaults["thresholds"]["steps"]]
    assert steps[0] is None
    assert steps[1:] == sorted(steps[1:])
    if panel["type"] == "timeseries":
        assert panel["title"].endswith("?")
        assert panel["options"]["legend"]["showLegend"]
        assert all(target["legendFormat"] != "__auto" for target in panel["targets"])
    for part in (panel, *panel["targets"]):
        assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}


def test_every_metric_exists() -> None:
    """The dashboard uses only metrics of the table, recorded shares, and the library's process metrics."""
    known = {metric.name for metric in METRICS} | recorded() | PROCESS_METRICS
    variables = [variable["query"]["query"] for variable in DASHBOARD["templating"]["list"][1:]]

    assert names_in(" ".join(QUERIES + variables)) - known == set()


def test_legends_use_labels_that_the_query_keeps() -> None:
    """A label in a legend is one that the query groups by, or that a plain series has."""
    for panel in CHARTS:
        for target in panel["targets"]:
            for label in re.findall(r"{{(\w+)}}", target["legendFormat"]):
                kept = ",".join(re.findall(r"by \(([^)]*)\)", target["expr"])) or target["expr"]
                assert re.search(rf"\b{label}\b", kept), (panel["title"], label)


def test_provisioning_fits_together() -> None:
    """Grafana finds the data source that the dashboard starts with, and the dashboard where the provider looks."""
    source = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    provider = yaml.safe_load((GRAFANA / "provisioning/dashboards/winback.yml").read_text())["providers"][0]
    compose = yaml.safe_load((GRAFANA.parent / "docker-compose.yml").read_text())["services"]
    variable = DASHBOARD["templating"]["list"][0]

    assert (source["uid"], source["type"]) == (variable["current"]["value"], variable["query"])
    assert "http://prometheus:9090" == source["url"]
    assert "prometheus" in compose
    mounts = [volume.split(":") for volume in compose["grafana"]["volumes"]]
    assert ["./grafana/dashboards", provider["options"]["path"], "ro"] in mounts
    assert ["./grafana/provisioning", "/etc/grafana/provisioning", "ro"] in mounts
    home = compose["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert f"{provider['options']['path']}/winback.json" == home


@pytest.mark.tools("prometheus")
def test_every_query_is_answered_with_data(prometheus: Prometheus, concrete: Callable[[str], str]) -> None:
    """A real Prometheus that scrapes a worker has a value, not NaN, for every query of every panel."""
    waiting = {query: concrete(query) for query in QUERIES}

    def answered() -> bool:
        for query in list(waiting):
            if prometheus.query(waiting[query]):
                del waiting[query]
        return not waiting

    prometheus.until(answered)

    assert list(waiting) == []


@pytest.mark.tools("prometheus")
def test_the_worker_variable_finds_the_worker(prometheus: Prometheus) -> None:
    """The list of workers to choose from is filled."""
    (variable,) = (v for v in DASHBOARD["templating"]["list"] if v["name"] == "worker")
    match = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
    assert match
    metric, label = match.groups()

    def values() -> list[str]:
        found: list[str] = prometheus.get(f"/api/v1/label/{label}/values", **{"match[]": metric})
        return found

    prometheus.until(lambda: bool(values()))

    assert 1 == len(values())
