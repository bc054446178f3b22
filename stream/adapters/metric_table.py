"""What a worker measures: one table of metrics (MISSION G4, A7).

This is the only place that names a metric: the exposition, ``docs/metrics.md`` and the checks of the dashboard and of
the alert rules are made from it. Names follow the Prometheus naming practice: one prefix, base units, ``_total`` for
counters; a customer's id is never a label. ``python -m stream.adapters.metric_table`` prints the page of the docs.
"""

from __future__ import annotations

import sys
from typing import Literal

import msgspec

_LATENCY = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0, 60.0)
"""Has bounds at 0.1 s and 3 s, the goal and the promise for event to action (MISSION A3): shares are exact there."""
_LATENESS = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0, 2_592_000.0, 31_536_000.0)
"""From a live event to an imported year."""
_DELAY = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0, 3600.0)
"""Has a bound at 1 s, within which a timer should fire."""
_WORK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_RECORDS = (1.0, 10.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 10_000.0, 20_000.0)

Labels = tuple[str, ...]


class Metric(msgspec.Struct, frozen=True):
    """One metric: what it is called, which labels it has and what it means."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels = ()
    buckets: tuple[float, ...] = ()


def _counter(name: str, labels: str, text: str) -> Metric:
    return Metric(name, "counter", text, tuple(labels.split()))


def _gauge(name: str, labels: str, text: str) -> Metric:
    return Metric(name, "gauge", text, tuple(labels.split()))


def _histogram(name: str, buckets: tuple[float, ...], text: str) -> Metric:
    return Metric(name, "histogram", text, (), buckets)


METRICS: tuple[Metric, ...] = (
    # -- is it keeping up?
    _counter("winback_events_total", "topic kind", "Events applied; refused and ignored ones are counted apart."),
    _histogram("winback_event_lateness_seconds", _LATENESS, "Time from when an event happened until it was applied."),
    _histogram("winback_event_to_action_seconds", _LATENCY, "Time from an event's record to the commit of its action."),
    _histogram("winback_timer_delay_seconds", _DELAY, "Time from when a timer was due until it fired."),
    _histogram("winback_batch_records", _RECORDS, "Input records in one batch."),
    _histogram("winback_batch_seconds", _WORK, "Time to process one batch, without its transaction."),
    _histogram("winback_transaction_seconds", _WORK, "Time to write and commit one batch's transaction."),
    _counter("winback_transaction_failures_total", "reason", "Batches rolled back, to be processed again."),
    _counter("winback_states_written_total", "", "Customer records written to the changelog."),
    _counter(
        "winback_messages_published_total", "stream", "Messages published, dead letters and internal ones included."
    ),
    _gauge("winback_consumer_lag_records", "topic partition", "Records on the topic that aren't processed yet."),
    _gauge("winback_consumer_offset", "topic partition", "Offset of the last processed record."),
    _gauge("winback_clock_timestamp_seconds", "partition", "The clock of the partition's timers, as Unix time."),
    _gauge("winback_state_recovery_seconds", "partition", "Time that the last restore of the state has taken."),
    _gauge("winback_state_recovery_ratio", "partition", "Restored part of the changelog, 0 to 1; 1 when done."),
    _gauge("winback_ready", "", "1 when the worker processes events, else 0."),
    _gauge("winback_not_ready", "reason", "1 for the reason why the worker isn't ready, 0 for earlier reasons."),
    _gauge("winback_broker_up", "", "1 when the Kafka broker answers, else 0."),
    _gauge("winback_build_info", "version python river aiokafka", "Always 1; the labels say what is running."),
    _gauge(
        "winback_rules_info",
        "number version",
        "Always 1; which published rules are in use (number 0: the worker's own).",
    ),
    _gauge("winback_rules_published_timestamp_seconds", "", "When the rules in use were published, as Unix time."),
    _gauge("winback_paused", "", "1 while somebody has paused all actions or some rule, else 0."),
    # -- what is it refusing?
    _counter("winback_events_rejected_total", "topic stage reason", "Records that became dead letters."),
    _counter(
        "winback_events_ignored_total", "topic reason", "Records that changed nothing: duplicates, unknown events."
    ),
    # -- what is it doing to customers?
    _counter("winback_actions_total", "rule kind", "Actions published."),
    _counter("winback_suppressions_total", "rule reason", "Decisions held back by governance."),
    _counter("winback_deferrals_total", "rule reason", "Decisions put off, to be judged again."),
    _counter("winback_journeys_total", "rule state", "Journeys that ended, and how."),
    _counter("winback_alerts_total", "kind", "Alerts published."),
    _counter(
        "winback_tier_changes_total", "from_tier to_tier", "Customers who changed their tier; from `none`: new ones."
    ),
    _counter(
        "winback_class_changes_total",
        "scheme from_class to_class",
        "Customers who changed their class in one of the other schemes.",
    ),
    _gauge("winback_customers", "tier", "Customers in the worker's partitions, by tier of fixed thresholds."),
    _gauge("winback_customers_by_class", "scheme class", "Customers in the worker's partitions, by the other schemes."),
    _gauge("winback_customers_by_segment", "segment", "Customers in the worker's partitions, by RFM segment."),
    # -- does the programme work?
    _gauge(
        "winback_kpi_ratio", "kpi", "Share of customers: repurchase, retention, churn, recall, referral, participation."
    ),
    _gauge("winback_kpi_customers", "kpi", "How many customers it is a share of."),
    _gauge("winback_kpi_timestamp_seconds", "", "End of the UTC day of these shares, as Unix time."),
    _gauge("winback_value_customers", "tier", "Buyers that the value of a customer is an average of."),
    _gauge("winback_value_lifetime_minor", "tier", "What a customer of the tier has spent so far, minor units."),
    _gauge("winback_value_next_year_minor", "tier", "What a customer of the tier spends in a year, minor units."),
    _gauge(
        "winback_value_expected_year_minor",
        "tier",
        "What a customer of the tier is expected to spend in the year to come, minor units.",
    ),
    _gauge(
        "winback_experiment_customers",
        "rule version arm",
        "Customers whose outcome is known, of a rule's newest version.",
    ),
    _gauge("winback_experiment_converted", "rule version arm", "Of them, who bought in the window."),
    _gauge("winback_experiment_revenue_minor", "rule version arm", "For how much, minor units."),
    _gauge("winback_experiment_cost_minor", "rule version arm", "What the actions cost, minor units."),
    _gauge(
        "winback_experiment_uplift_ratio",
        "rule version arm bound",
        "Buyers beyond the hold-out's share of them: the value, and the bounds between which the truth lies.",
    ),
    # -- can the model be trusted?
    _counter("winback_labels_total", "outcome", "Labels that matured: bought or churned within the horizon."),
    _gauge("winback_model_auc", "", "Prequential area under the ROC curve of the churn model; 0.5 is chance."),
    _gauge("winback_model_brier", "", "Prequential Brier score of the churn model; 0 is perfect."),
    _gauge("winback_model_calibration_error", "", "Prequential expected calibration error, 0 to 1; 0 is perfect."),
    _gauge("winback_model_lift_quality", "", "Prequential lift quality; 0 is random, 1 is perfect."),
    _gauge("winback_model_labels", "", "Labels that the model in use has learnt from."),
    _gauge("winback_model_drifts", "", "How often the shop has changed under the model, which then forgot faster."),
    _gauge(
        "winback_model_feature_drift",
        "feature",
        "How far customers of now are from those learnt from, in standard deviations of each feature; 0.8 is large.",
    ),
    _gauge("winback_model_abstained", "", "1 while the model has too few labels to alert anyone, else 0."),
    _gauge("winback_model_timestamp_seconds", "", "Start of the UTC day of the model in use, as Unix time."),
    _gauge("winback_model_champion", "model", "1 of the model that scores the customers: logistic, trees or recency."),
    _gauge("winback_model_pinned", "", "1 while a person has chosen it, so that the contest doesn't, else 0."),
    _gauge("winback_contender_auc", "model", "Prequential AUC of each contender, all over the same labels."),
    _gauge(
        "winback_contender_calibration_error", "model", "Calibration error of each contender, over the same labels."
    ),
    _gauge("winback_products", "", "Products that associations are known of."),
    _gauge("winback_product_orders", "", "Orders that they come from; one counts less the older it is."),
    _gauge("winback_sentiment_labels", "", "Rated texts that sentiment has been learnt from."),
    _gauge(
        "winback_sentiment_told_ratio",
        "",
        "Share of the last rated texts of which the sentiment was told, not left unclear.",
    ),
    _gauge("winback_sentiment_right_ratio", "", "Share of them of which it was told, and the rating then bore it out."),
    _counter(
        "winback_suspects_total", "reason", "Customers found to behave like no person, or like one again (cleared)."
    ),
    _gauge("winback_epoch_timestamp_seconds", "", "Start of the UTC day of the thresholds in use, as Unix time."),
    _gauge(
        "winback_epoch_lag_seconds", "", "How far the thresholds in use are behind the clock's day; 0 when current."
    ),
)
"""Every metric of a worker, in the order of the five questions that the dashboard answers."""


def markdown_table() -> str:
    """All metrics as a Markdown table."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    for metric in METRICS:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |")
    return "\n".join(rows) + "\n"


def markdown_page() -> str:
    """The text of ``docs/metrics.md``."""
    return f"{_PAGE}\n{markdown_table()}"


_PAGE = """# Metrics

A worker answers `/metrics` on its web port in the Prometheus text format, or as OpenMetrics if asked for. Figures count what
was committed; a batch that was rolled back isn't in them. Times are in seconds. `process_*` metrics of the client library
come along. Add up over workers, except for `winback_model_*`, `winback_product*`, `winback_sentiment_*`, `winback_kpi_*`, `winback_value_*` and `winback_experiment_*`, which every worker
reports alike: take the maximum.

This page is made from the code: `python -m stream.adapters.metric_table > docs/metrics.md`.
"""


if __name__ == "__main__":
    sys.stdout.write(markdown_page())
