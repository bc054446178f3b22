"""The exposition of a worker's metrics, read back with the parsers that Prometheus's own library ships."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import msgspec
import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from stream.actions.message import Stream
from stream.adapters.metric_table import METRICS, markdown_page
from stream.adapters.metrics import Histogram, Metrics, ModelQuality
from stream.outcome import Outcome, Telemetry

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def metrics() -> Metrics:
    """Metrics of a worker that has just been started."""
    return Metrics(prometheus_client.CollectorRegistry())


def families(metrics: Metrics) -> dict[str, Family]:
    """What Prometheus would read, by the name of the family."""
    return {family.name: family for family in parse_text(metrics.exposition()[0].decode())}


def samples(metrics: Metrics) -> Samples:
    """What Prometheus would read, by name and sorted labels."""
    found = [sample for family in families(metrics).values() for sample in family.samples]
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in found}


def test_an_outcome_becomes_metrics(metrics: Metrics, everything: Callable[[Outcome], Outcome]) -> None:
    """Two committed outcomes are added up under the documented names and labels, in seconds."""
    for _ in range(2):
        metrics.observe(everything(Outcome()), partition=1, commit_ms=10)
    found = samples(metrics)

    assert found["winback_events_total", (("kind", "order_completed"), ("topic", "crm.purchases.v1"))] == 180
    rejected = (("reason", "not_json"), ("stage", "decode"), ("topic", "crm.browses.v1"))
    assert found["winback_events_rejected_total", rejected] == 4
    assert found["winback_events_ignored_total", (("reason", "duplicate"), ("topic", "crm.browses.v1"))] == 6
    assert found["winback_actions_total", (("kind", "message"), ("rule", "welcome"))] == 10
    assert found["winback_suppressions_total", (("reason", "cap"), ("rule", "churn-recall"))] == 4
    assert found["winback_alerts_total", (("kind", "churn"),)] == 2
    assert found["winback_tier_changes_total", (("from_tier", "low"), ("to_tier", "medium"))] == 2
    assert found["winback_tier_changes_total", (("from_tier", "none"), ("to_tier", "low"))] == 40
    assert found["winback_labels_total", (("outcome", "churned"),)] == 12
    assert found["winback_customers", (("tier", "low"),)] == 40
    assert found["winback_customers_by_segment", (("segment", "champions"),)] == 6
    assert found["winback_states_written_total", ()] == 4
    assert found["winback_messages_published_total", (("stream", "dead_letters"),)] == 2
    assert found["winback_event_lateness_seconds_count", ()] == 6
    assert found["winback_event_lateness_seconds_sum", ()] == pytest.approx(180_001.68)
    assert found["winback_timer_delay_seconds_bucket", (("le", "0.25"),)] == 4
    assert found["winback_event_to_action_seconds_sum", ()] == pytest.approx(2 * (0.014 + 0.022 + 0.1))


@pytest.mark.parametrize("field", [field.name for field in msgspec.structs.fields(Telemetry)])
def test_every_figure_of_the_core_is_exported(
    field: str, metrics: Metrics, everything: Callable[[Outcome], Outcome]
) -> None:
    """No field of the telemetry is forgotten: filling it alone changes what is exposed."""
    before = samples(metrics)
    full = everything(Outcome()).telemetry
    metrics.observe(Outcome(telemetry=Telemetry(**{field: getattr(full, field)})), partition=0)

    assert before != samples(metrics)


def test_the_exposition_is_the_table(metrics: Metrics) -> None:
    """Every metric of the table is exposed from the first scrape with its type and meaning, and no other."""
    found = {name: family for name, family in families(metrics).items() if name.startswith("winback_")}
    expected = {metric.name.removesuffix("_total"): (metric.kind, metric.help) for metric in METRICS}

    assert expected == {name: (family.type, family.documentation) for name, family in found.items()}


def test_samples_have_the_documented_labels(metrics: Metrics, everything: Callable[[Outcome], Outcome]) -> None:
    """The labels in the exposition are those of the table."""
    metrics.observe(everything(Outcome()), partition=0)
    metrics.count_transaction_failure("Fenced")
    labels = {metric.name.removesuffix("_total"): set(metric.labels) for metric in METRICS}
    for name, family in families(metrics).items():
        for sample in family.samples if name in labels else ():
            assert labels[name] == set(sample.labels) - {"le"}, name


def test_names_follow_the_practice() -> None:
    """One prefix, `_total` on counters only, base units, no label that could name a customer, none twice."""
    names = [metric.name for metric in METRICS]

    assert len(names) == len(set(names))
    for metric in METRICS:
        assert metric.name.startswith("winback_")
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
        assert not {"ms", "milliseconds", "minutes", "percent", "days"} & set(metric.name.split("_")), metric.name
        assert not [label for label in metric.labels if "customer" in label or "user" in label or label == "id"]
        assert bool(metric.buckets) == (metric.kind == "histogram")
        assert sorted(set(metric.buckets)) == list(metric.buckets), metric.name


@given(st.lists(st.lists(st.integers(0, 5_000), max_size=50), max_size=8))
def test_batches_count_like_single_observations(batches: list[list[int]]) -> None:
    """The histogram that takes batches agrees with the library's, which takes one value at a time."""
    bounds = (0.005, 0.1, 1.0, 3.0)
    registry = prometheus_client.CollectorRegistry()
    theirs = prometheus_client.Histogram("h", "one at a time", buckets=bounds, registry=registry)
    ours = Histogram(bounds, scale=1000)
    for batch in batches:
        ours.add(batch)
        for value in batch:
            theirs.observe(value / 1000)
    expected = [(le, registry.get_sample_value("h_bucket", {"le": le})) for le, _ in ours.cumulative()]

    assert expected == ours.cumulative()
    assert registry.get_sample_value("h_sum") == pytest.approx(ours.total)


def test_a_sum_never_falls() -> None:
    """Events from a sender whose clock is ahead count as not late at all: a falling sum would look like a restart."""
    lateness = Histogram((1.0,), scale=1000)
    lateness.add([-5_000, 2_000, -1])

    assert (2.0, [("1.0", 2), ("+Inf", 3)]) == (lateness.total, lateness.cumulative())


def test_the_order_of_values_does_not_matter() -> None:
    """A batch's values may come in any order and are left as they are."""
    values = [random.Random(1).randrange(100_000) for _ in range(1_000)]
    forward, backward = Histogram((1.0, 10.0), scale=1000), Histogram((1.0, 10.0), scale=1000)
    kept = list(values)
    forward.add(values)
    backward.add(values[::-1])

    assert kept == values
    assert forward.cumulative() == backward.cumulative()


def test_a_partition_that_leaves_takes_its_gauges_along(metrics: Metrics) -> None:
    """After a rebalance only the new owner reports a partition's customers, lag and clock; counters stay."""
    for partition in (0, 1):
        metrics.set_population(partition, {"high": 10}, {"champions": 10}, {("share", "high"): 10})
        metrics.set_lag("crm.browses.v1", partition, 5)
        metrics.set_offset("crm.browses.v1", partition, 99)
        metrics.set_clock(partition, 1_000)
        metrics.set_recovery(partition, 2.0, 1.0)
    one_entered = Telemetry()
    one_entered.customers_by_tier.update({"high": 1})
    metrics.observe(Outcome(changed={b"c": b"x"}, telemetry=one_entered), partition=1)
    metrics.release(1)
    found = samples(metrics)

    assert found["winback_customers", (("tier", "high"),)] == 10
    assert found["winback_customers_by_segment", (("segment", "champions"),)] == 10
    assert found["winback_states_written_total", ()] == 1
    assert {"0"} == {dict(labels)["partition"] for _, labels in found if "partition" in dict(labels)}


def test_a_worker_says_why_it_is_not_ready(metrics: Metrics) -> None:
    """Not ready from the start; the reason of now is 1, those of before are 0."""
    assert samples(metrics)["winback_not_ready", (("reason", "starting"),)] == 1
    metrics.set_ready("recovering")
    found = samples(metrics)

    assert found["winback_ready", ()] == 0
    assert found["winback_not_ready", (("reason", "recovering"),)] == 1
    assert found["winback_not_ready", (("reason", "starting"),)] == 0
    metrics.set_ready(None)
    assert samples(metrics)["winback_ready", ()] == 1


def test_unknown_model_figures_are_not_made_up(metrics: Metrics) -> None:
    """A figure that isn't known yet is absent rather than 0, and goes again when the next version doesn't know it."""
    metrics.set_model(ModelQuality(day=20_000, labels=10, abstained=True, auc=0.7))
    found = samples(metrics)

    assert found["winback_model_auc", ()] == 0.7
    assert found["winback_model_abstained", ()] == 1
    assert found["winback_model_timestamp_seconds", ()] == 1_728_000_000
    assert ("winback_model_brier", ()) not in found
    metrics.set_model(ModelQuality(day=20_001, labels=10, abstained=True))
    assert ("winback_model_auc", ()) not in samples(metrics)


def test_old_thresholds_show(metrics: Metrics) -> None:
    """The lag of the epoch is whole days, and never negative when the clock of one partition is behind."""
    metrics.set_epoch(20_000, 20_002)
    assert samples(metrics)["winback_epoch_lag_seconds", ()] == 172_800
    metrics.set_epoch(20_000, 19_999)
    assert samples(metrics)["winback_epoch_lag_seconds", ()] == 0


def test_openmetrics_on_request(metrics: Metrics, everything: Callable[[Outcome], Outcome]) -> None:
    """A scraper that asks for OpenMetrics gets it, and the strict parser reads it."""
    metrics.observe(everything(Outcome()), partition=0)
    body, content_type = metrics.exposition("application/openmetrics-text; version=1.0.0")

    assert content_type.startswith("application/openmetrics-text")
    found = {family.name for family in parse_openmetrics(body.decode())}  # type: ignore[no-untyped-call]
    assert {"winback_events", "winback_customers"} <= found


def test_counters_start_at_zero(metrics: Metrics) -> None:
    """The first dead letter is an increase that Prometheus can see, since its counter was there before at 0."""
    found = samples(metrics)

    assert {stream.value for stream in Stream} == {
        dict(labels)["stream"] for name, labels in found if name == "winback_messages_published_total"
    }
    assert found["winback_messages_published_total", (("stream", "dead_letters"),)] == 0


def test_nothing_is_global(metrics: Metrics) -> None:
    """Two workers in one process have their own metrics, and the library's global registry has none of them."""
    other = Metrics(prometheus_client.CollectorRegistry())
    other.count_transaction_failure("Fenced")

    assert not [sample for sample in samples(metrics) if sample[0] == "winback_transaction_failures_total"]
    assert b"winback_" not in prometheus_client.generate_latest()


def test_the_docs_are_current() -> None:
    """`docs/metrics.md` is what the code generates."""
    page = Path(__file__).parents[2] / "docs" / "metrics.md"

    assert markdown_page() == page.read_text(encoding="utf-8")
