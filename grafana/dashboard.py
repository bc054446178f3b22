"""The Grafana dashboard as code: ``python grafana/dashboard.py`` writes ``grafana/dashboards/winback.json``.

Each row answers one question. A panel's title says what it answers, its description what to make of the answer; panels
flow from left to right in the order of the list, so nobody places them by hand. ``$__rate_interval`` and ``$worker`` are
filled in by Grafana.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parent / "dashboards" / "winback.json"
WIDTH = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

Json = dict[str, Any]
Steps = tuple[tuple[float | None, str], ...]

PLAIN: Steps = ((None, "blue"),)
ZERO_IS_GOOD: Steps = ((None, "green"), (1, "red"))
SHARE_REFUSED: Steps = ((None, "green"), (0.001, "yellow"), (0.01, "red"))
SECONDS_TO_ACTION: Steps = ((None, "green"), (0.1, "yellow"), (3, "red"))
ONE_SECOND: Steps = ((None, "green"), (1, "red"))
AUC: Steps = ((None, "red"), (0.65, "yellow"), (0.75, "green"))
ERROR: Steps = ((None, "green"), (0.05, "yellow"), (0.1, "red"))


@dataclass(frozen=True)
class Panel:
    """One panel. ``queries`` are pairs of legend and PromQL; a legend may use labels: ``{{topic}}``."""

    kind: str
    title: str
    description: str
    unit: str
    queries: Sequence[tuple[str, str]]
    thresholds: Steps = PLAIN
    width: int = 8
    height: int = 8
    stacked: bool = False
    line: bool = False
    """Draw the thresholds as lines."""
    top: float | None = None
    bottom: float | None = 0
    decimals: int | None = None
    mappings: tuple[tuple[str, str, str], ...] = ()
    """Value, text and colour."""


def stat(title: str, query: str, unit: str, description: str, **more: Any) -> Panel:
    """One large number."""
    return Panel("stat", title, description, unit, [("", query)], **{"width": 4, "height": 4} | more)


def lines(title: str, unit: str, description: str, *queries: tuple[str, str], **more: Any) -> Panel:
    """Values over time."""
    return Panel("timeseries", title, description, unit, queries, **more)


def bars(title: str, query: str, legend: str, unit: str, description: str, **more: Any) -> Panel:
    """The values of now, one bar each."""
    return Panel("bargauge", title, description, unit, [(legend, query)], **more)


def rate(metric: str, by: str = "", select: str = "") -> str:
    """Increase a second of a counter, added up over the workers."""
    over = f" by ({by})" if by else ""
    return f"sum{over} (rate({metric}{select}[$__rate_interval]))"


def rate_or_none(metric: str, by: str) -> str:
    """`rate` of something that may never have happened: then one line called "none" at zero."""
    return f'{rate(metric, by)} or label_replace(vector(0), "{by}", "none", "", "")'


def quantiles(metric: str, *wanted: float) -> list[tuple[str, str]]:
    """Quantiles of a histogram, with their legends."""
    buckets = rate(f"{metric}_bucket", "le")
    return [(f"p{wanted_one * 100:g}", f"histogram_quantile({wanted_one:g}, {buckets})") for wanted_one in wanted]


WORKER = '{instance=~"$worker"}'

KEEPING_UP = [
    stat(
        "Workers ready",
        "sum(winback_ready)",
        "none",
        "How many workers process events. Compare with how many you started.",
        thresholds=((None, "red"), (1, "green")),
    ),
    stat(
        "Alerts firing",
        'count(ALERTS{alertstate="firing", alertname=~"Winback.*"}) or vector(0)',
        "none",
        "Alert rules that fire now. Alerting → Alert rules shows which, and what to do.",
        thresholds=ZERO_IS_GOOD,
    ),
    stat("Events a second", rate("winback_events_total"), "eps", "Events processed, over all workers and topics."),
    stat(
        "Records waiting",
        "sum(max by (topic, partition) (winback_consumer_lag_records))",
        "short",
        "Records in the input topics that aren't processed yet. Rising for minutes means: add a worker.",
        thresholds=((None, "green"), (1_000, "yellow"), (10_000, "red")),
    ),
    stat(
        "Event to action, p99",
        quantiles("winback_event_to_action_seconds", 0.99)[0][1],
        "s",
        "99 of 100 actions are published within this time after their event's record. Promised: 3 s, goal: 0.1 s.",
        thresholds=SECONDS_TO_ACTION,
    ),
    stat(
        "Oldest thresholds in use",
        "max(winback_epoch_lag_seconds)",
        "s",
        "How far thresholds and model of the slowest worker are behind today. 0: current. A day: wait; more: see alerts.",
        thresholds=((None, "green"), (86_400, "yellow"), (172_800, "red")),
    ),
    lines(
        "How many events are processed?",
        "eps",
        "Events a second by topic.",
        ("{{topic}}", rate("winback_events_total", "topic")),
        stacked=True,
    ),
    lines(
        "How many records wait?",
        "short",
        "Lag by topic. A peak after an import or a restart is normal if it falls again.",
        ("{{topic}}", "sum by (topic) (max by (topic, partition) (winback_consumer_lag_records))"),
    ),
    lines(
        "How long does it take from event to action?",
        "s",
        "From the time stamp of the event's Kafka record to the commit that makes the action visible.",
        *quantiles("winback_event_to_action_seconds", 0.5, 0.95, 0.99),
        thresholds=SECONDS_TO_ACTION,
        line=True,
    ),
    lines(
        "How late do events arrive?",
        "s",
        "From when it happened at the customer's to when it was applied. Late events are counted in their own day.",
        *quantiles("winback_event_lateness_seconds", 0.5, 0.99),
    ),
    lines(
        "Do timers fire on time?",
        "s",
        "From when a reminder was due to when it fired. Promised: 1 s. After a restart, what was due meanwhile shows here.",
        *quantiles("winback_timer_delay_seconds", 0.5, 0.99),
        thresholds=ONE_SECOND,
        line=True,
    ),
    lines(
        "How long does a batch take?",
        "s",
        "Processing is our own work, the transaction is Kafka's. Whichever grows is the bottleneck.",
        ("processing, p99", quantiles("winback_batch_seconds", 0.99)[0][1]),
        ("transaction, p99", quantiles("winback_transaction_seconds", 0.99)[0][1]),
    ),
    lines(
        "How large are batches?",
        "short",
        "Records a batch. At WINBACK_BATCH_RECORDS all the time, the worker is saturated.",
        *quantiles("winback_batch_records", 0.5, 0.99),
    ),
    lines(
        "Which transactions fail?",
        "cps",
        "Batches rolled back and done again, by reason. A few at a rebalance are normal.",
        ("{{reason}}", rate_or_none("winback_transaction_failures_total", "reason")),
    ),
    lines(
        "Is the state restored?",
        "percentunit",
        "Restored part of each partition's customers. Below 100 %, the partition's events wait.",
        ("partition {{partition}}", "min by (partition) (winback_state_recovery_ratio)"),
        top=1,
    ),
    lines(
        "How long did restoring take?",
        "s",
        "The last restore of each partition.",
        ("partition {{partition}}", "max by (partition) (winback_state_recovery_seconds)"),
    ),
    lines(
        "How much processor does a worker use?",
        "percentunit",
        "100 % is one core, which is all that one worker can use.",
        ("{{instance}}", f'rate(process_cpu_seconds_total{{job="winback", {WORKER[1:-1]}}}[$__rate_interval])'),
        thresholds=((None, "green"), (0.9, "red")),
        line=True,
    ),
    lines(
        "How much memory does a worker use?",
        "bytes",
        "Resident memory. It grows with the number of customers, not with events.",
        ("{{instance}}", f'process_resident_memory_bytes{{job="winback", {WORKER[1:-1]}}}'),
    ),
]

REFUSING = [
    stat(
        "Records refused, last hour",
        "sum(increase(winback_events_rejected_total[1h])) or vector(0)",
        "short",
        "Records that became dead letters. They keep their original bytes, and can be mended and sent back.",
        thresholds=ZERO_IS_GOOD,
        decimals=0,
        height=8,
    ),
    stat(
        "Largest share refused",
        "max(topic:winback_events_rejected:ratio_rate5m) or vector(0)",
        "percentunit",
        "Of the records of the worst topic, in the last 5 minutes. Above 1 %, a sender is broken.",
        thresholds=SHARE_REFUSED,
        height=8,
    ),
    lines(
        "Why are records refused?",
        "cps",
        "Dead letters by stage and reason. The dead letter's headers name the field.",
        (
            "{{stage}}: {{reason}}",
            rate("winback_events_rejected_total", "stage, reason")
            + ' or label_replace(label_replace(vector(0), "stage", "none", "", ""), "reason", "none", "", "")',
        ),
    ),
    lines(
        "Which topic has bad records?",
        "percentunit",
        "Refused share of each topic over 5 minutes.",
        (
            "{{topic}}",
            'topic:winback_events_rejected:ratio_rate5m or label_replace(vector(0), "topic", "none", "", "")',
        ),
        thresholds=SHARE_REFUSED,
        line=True,
    ),
    lines(
        "What changes nothing?",
        "cps",
        "Records that are sound but without effect: duplicates, event names we don't know, events beyond the memory.",
        ("{{reason}}", rate_or_none("winback_events_ignored_total", "reason")),
        width=16,
    ),
    lines(
        "What is published?",
        "mps",
        "Messages by stream, dead letters and internal streams included.",
        ("{{stream}}", rate("winback_messages_published_total", "stream")),
        width=8,
    ),
]

CUSTOMERS = [
    stat(
        "Customers",
        "sum(winback_customers)",
        "short",
        "Customers whom we remember, over all workers.",
        width=3,
    ),
    stat(
        "Actions, last 24 hours",
        "sum(increase(winback_actions_total[1d])) or vector(0)",
        "short",
        "Messages that marketing automation was asked to send.",
        decimals=0,
        width=3,
    ),
    stat(
        "Held back, last 24 hours",
        "sum(increase(winback_suppressions_total[1d])) or vector(0)",
        "short",
        "Decisions that were published as suppressed, with the reason.",
        decimals=0,
        width=3,
    ),
    stat(
        "Put off, last 24 hours",
        "sum(increase(winback_deferrals_total[1d])) or vector(0)",
        "short",
        "Decisions that wait for another moment, such as the end of quiet hours or of a pause, and are judged again then.",
        decimals=0,
        width=3,
    ),
    stat(
        "Paused",
        "max(winback_paused)",
        "none",
        "Whether somebody holds actions back: all, or those of some rule. `winback rules status` tells who and since when.",
        thresholds=((None, "green"), (1, "yellow")),
        mappings=(("0", "no", "green"), ("1", "yes", "yellow")),
        width=3,
    ),
    stat(
        "Churn alerts, last 24 hours",
        "sum(increase(winback_alerts_total[1d])) or vector(0)",
        "short",
        "Customers whose churn score crossed the threshold upward.",
        decimals=0,
        width=3,
    ),
    stat(
        "Alerted share of customers",
        "winback_alerts:ratio_increase1d or vector(0)",
        "percentunit",
        "Churn alerts of the last 24 hours as a share of all customers. Above 10 %, doubt the model or the threshold.",
        thresholds=((None, "green"), (0.05, "yellow"), (0.1, "red")),
        width=3,
    ),
    stat(
        "Least delivered rule",
        "max(rule:winback_suppressions:ratio_increase1h) or vector(0)",
        "percentunit",
        "The largest share of a rule's decisions that was held back within an hour.",
        thresholds=((None, "green"), (0.5, "yellow"), (0.9, "red")),
        width=3,
    ),
    lines(
        "What do the rules do?",
        "cps",
        "Actions a second by rule. A sudden step is an edited rule or an event that many customers share.",
        ("{{rule}}", rate("winback_actions_total", "rule")),
        stacked=True,
    ),
    lines(
        "Why are decisions held back?",
        "cps",
        "Suppressed decisions a second by reason.",
        ("{{reason}}", rate_or_none("winback_suppressions_total", "reason")),
        stacked=True,
    ),
    lines(
        "Why are decisions put off?",
        "cps",
        "Decisions a second that wait, by reason. Those that wait for long expire, and are then held back for good.",
        ("{{reason}}", rate_or_none("winback_deferrals_total", "reason")),
        stacked=True,
    ),
    lines(
        "How do journeys end?",
        "cps",
        "Journeys a second that ended: all steps done, stopped because the customer bought, expired, or held back.",
        ("{{state}}", rate_or_none("winback_journeys_total", "state")),
        stacked=True,
    ),
    lines(
        "Which rules are held back?",
        "percentunit",
        "Suppressed share of each rule's decisions over an hour.",
        (
            "{{rule}}",
            'rule:winback_suppressions:ratio_increase1h or label_replace(vector(0), "rule", "none", "", "")',
        ),
        top=1,
    ),
    lines(
        "How many customers are in each tier?",
        "short",
        "Rising lost and falling high is what the product is there to prevent.",
        ("{{tier}}", "sum by (tier) (winback_customers)"),
        stacked=True,
    ),
    bars(
        "How many customers are in each segment?",
        "sort_desc(sum by (segment) (winback_customers_by_segment))",
        "{{segment}}",
        "short",
        "Named RFM segments, now.",
    ),
    lines(
        "Who changes tier?",
        "cps",
        "Changes of tier a second. The same pair in both directions at once is flapping.",
        ("{{from_tier}} → {{to_tier}}", rate("winback_tier_changes_total", "from_tier, to_tier")),
        width=16,
    ),
]


def kpi(name: str) -> str:
    """A share of the programme; every worker reports the same."""
    return f'max(winback_kpi_ratio{{kpi="{name}"}})'


def by_arm(metric: str) -> str:
    """A figure of the experiments; every worker reports the same."""
    return f"max by (rule, version, arm) (winback_experiment_{metric})"


SEGMENTS = [
    lines(
        "How many are in each class?",
        "short",
        "As they were last looked at. Tiers by share keep their shares, unless many are silent: then high ones come down.",
        ("{{scheme}}: {{class}}", "sum by (scheme, class) (winback_customers_by_class)"),
        width=16,
    ),
    lines(
        "Who changes class?",
        "cps",
        "Changes a second in the other schemes. The same pair in both directions at once is flapping.",
        (
            "{{scheme}}: {{from_class}} → {{to_class}}",
            rate("winback_class_changes_total", "scheme, from_class, to_class"),
        ),
    ),
]

PROGRAMME = [
    lines(
        "How many buy again?",
        "percentunit",
        "Of all buyers, those with at least two orders, ever. It moves slowly: half of a point in a month is much.",
        ("repurchase", kpi("repurchase")),
        top=1,
    ),
    lines(
        "How many stay, how many are lost?",
        "percentunit",
        "Of the customers who weren't silent a horizon ago: who has bought since, and who hasn't. Together they are 100 %.",
        ("retention", kpi("retention")),
        ("churn", kpi("churn")),
        top=1,
    ),
    lines(
        "How many come back?",
        "percentunit",
        "Of those who were silent a horizon ago, who has bought since. Written to or not: compare rules by their hold-outs, not by this.",
        ("all", kpi("recall")),
        ("were written to", kpi("recall_written")),
        ("were not", kpi("recall_unwritten")),
    ),
    lines(
        "How many were brought by others?",
        "percentunit",
        "Of the customers who bought for the first time within a period, those whom another customer brought.",
        ("referral", kpi("referral")),
    ),
    lines(
        "How many take part?",
        "percentunit",
        "Of those who bought within a horizon, who opened or clicked a message, rated something or answered a survey.",
        ("participation", kpi("participation")),
    ),
    lines(
        "How many are these shares of?",
        "short",
        "Customers behind each share. Of a few dozen, a share jumps without a reason.",
        ("{{kpi}}", "max by (kpi) (winback_kpi_customers)"),
    ),
    lines(
        "What has a customer of each tier spent?",
        "short",
        "Average of all orders of a customer up to now, minor units of the shop's currency.",
        ("{{tier}}", "max by (tier) (winback_value_lifetime_minor)"),
    ),
    lines(
        "What does one spend in a year?",
        "short",
        "At the pace of those who were in the tier a period ago, and to be expected by the models of value; minor units. Compare with "
        "what an offer costs.",
        ("{{tier}}, pace", "max by (tier) (winback_value_next_year_minor)"),
        ("{{tier}}, expected", "max by (tier) (winback_value_expected_year_minor)"),
    ),
    lines(
        "How many have been measured?",
        "short",
        "Customers whose window is over, by rule, version and arm. Below a few hundred, nothing can be said.",
        ("{{rule}} v{{version}} {{arm}}", by_arm("customers")),
    ),
    lines(
        "How many more buy because of a rule?",
        "percentunit",
        "Uplift over the hold-out with its bounds. The truth lies between them at all times; both above 0: the rule works.",
        (
            "{{rule}} v{{version}} {{arm}}: {{bound}}",
            "max by (rule, version, arm, bound) (winback_experiment_uplift_ratio)",
        ),
        bottom=None,
        width=12,
    ),
    lines(
        "What do measured customers bring?",
        "short",
        "Revenue in the window, a customer, less what the actions cost, minor units. The hold-out is what comes by itself.",
        (
            "{{rule}} v{{version}} {{arm}}",
            f"({by_arm('revenue_minor')} - {by_arm('cost_minor')}) / ({by_arm('customers')} > 0)",
        ),
        bottom=None,
        width=12,
    ),
]

MODEL = [
    stat(
        "Does the model abstain?",
        "max(winback_model_abstained)",
        "none",
        "While the model has too few labels it scores, but alerts nobody.",
        thresholds=((None, "green"), (1, "yellow")),
        mappings=(("0", "no", "green"), ("1", "yes: too few labels", "yellow")),
    ),
    stat(
        "AUC",
        "max(winback_model_auc)",
        "none",
        "Chance that a customer who churned had the higher score than one who bought. 0.5 is guessing, 1 is perfect.",
        thresholds=AUC,
        decimals=3,
    ),
    stat(
        "Lift quality",
        "max(winback_model_lift_quality)",
        "none",
        "How well the highest scores find those who churn: 0 is random, 1 is perfect.",
        decimals=3,
        thresholds=((None, "red"), (0.2, "yellow"), (0.4, "green")),
    ),
    stat(
        "Calibration error",
        "max(winback_model_calibration_error)",
        "none",
        "How far scores are from probabilities, on average. Judge it against 0.02 plus the noise of the sample.",
        thresholds=ERROR,
        decimals=3,
    ),
    stat(
        "Labels learnt from",
        "max(winback_model_labels)",
        "short",
        "Matured labels behind the model: each was scored before it was learnt.",
    ),
    stat(
        "Drifts so far",
        "max(winback_model_drifts)",
        "short",
        "How often its scores became worse than chance allows: the shop had changed, so it forgot faster and learnt anew.",
    ),
    bars(
        "Are customers like those learnt from?",
        "topk(8, abs(max by (feature) (winback_model_feature_drift)))",
        "{{feature}}",
        "none",
        "Standard deviations between this period's customers and the learnt ones, by feature: 0.5 is medium, 0.8 is large and told as an event.",
        width=6,
    ),
    bars(
        "Which model is in use?",
        "max by (model) (winback_model_champion)",
        "{{model}}",
        "none",
        "The champion of the contest: it scores the customers until a challenger is better beyond noise.",
        width=6,
    ),
    lines(
        "Which model ranks best?",
        "none",
        "Prequential AUC of the contenders, all over the same sample of labels, none of which they had seen.",
        ("{{model}}", "max by (model) (winback_contender_auc)"),
        top=1,
        width=6,
    ),
    lines(
        "Whose scores are probabilities?",
        "none",
        "Calibration error of the contenders over the same labels; lower is better.",
        ("{{model}}", "max by (model) (winback_contender_calibration_error)"),
        width=6,
    ),
    lines(
        "Does it rank customers rightly?",
        "none",
        "Prequential AUC and lift quality: every label was scored before it was learnt.",
        ("AUC", "max(winback_model_auc)"),
        ("lift quality", "max(winback_model_lift_quality)"),
        top=1,
    ),
    lines(
        "Are its scores probabilities?",
        "none",
        "Calibration error and Brier score; lower is better.",
        ("calibration error", "max(winback_model_calibration_error)"),
        ("Brier score", "max(winback_model_brier)"),
        thresholds=ERROR,
        line=True,
    ),
    lines(
        "Is the sentiment of words right?",
        "percentunit",
        "Of the last rated texts: the share of which something was told, and the share of which it was told rightly.",
        ("told rightly", "max(winback_sentiment_right_ratio)"),
        ("told", "max(winback_sentiment_told_ratio)"),
        top=1,
    ),
    lines(
        "What is known of products?",
        "short",
        "Products with associations, and the orders that they come from, older ones counting less.",
        ("products", "max(winback_products)"),
        ("orders", "max(winback_product_orders)"),
    ),
    lines(
        "Who behaves like no person?",
        "cps",
        "Customers found at a visit to be suspects, by reason; they are left out of thresholds and training until they are cleared.",
        ("{{reason}}", rate_or_none("winback_suspects_total", "reason")),
        stacked=True,
    ),
    lines(
        "Do labels keep coming?",
        "cps",
        "Labels that matured, by outcome. None for a day: no day was closed, or snapshots stopped.",
        ("{{outcome}}", rate_or_none("winback_labels_total", "outcome")),
        stacked=True,
    ),
]

ROWS = (
    ("Is it keeping up?", KEEPING_UP),
    ("What is it refusing?", REFUSING),
    ("What is it doing to customers?", CUSTOMERS),
    ("Who are they?", SEGMENTS),
    ("Does the programme work?", PROGRAMME),
    ("Can the model be trusted?", MODEL),
)


def panel_json(panel: Panel, number: int, x: int, y: int) -> Json:
    """One panel as Grafana wants it."""
    defaults: Json = {
        "unit": panel.unit,
        **({} if panel.bottom is None else {"min": panel.bottom}),
        "thresholds": {
            "mode": "absolute",
            "steps": [{"color": color, "value": value} for value, color in panel.thresholds],
        },
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
    }
    if panel.top is not None:
        defaults["max"] = panel.top
    if panel.decimals is not None:
        defaults["decimals"] = panel.decimals
    if panel.mappings:
        options = {value: {"text": text, "color": color} for value, text, color in panel.mappings}
        defaults["mappings"] = [{"type": "value", "options": options}]
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 30 if panel.stacked else 5,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "line" if panel.line else "off"},
        }
    reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    options_by_kind: dict[str, Json] = {
        "timeseries": {
            "legend": {
                "displayMode": "table",
                "placement": "bottom",
                "showLegend": True,
                "calcs": ["lastNotNull", "max"],
            },
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
        "stat": {"reduceOptions": reduce, "colorMode": "value", "graphMode": "area", "textMode": "value"},
        "bargauge": {"reduceOptions": reduce, "orientation": "horizontal", "displayMode": "basic"},
    }
    at_once = panel.kind == "bargauge"
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options_by_kind[panel.kind],
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": SOURCE,
                "expr": query,
                "legendFormat": legend or "__auto",
                "range": not at_once,
                "instant": at_once,
            }
            for index, (legend, query) in enumerate(panel.queries)
        ],
    }


def panels() -> list[Json]:
    """All panels with their places, each row of panels under its heading."""
    placed: list[Json] = []
    y = 0
    for question, contents in ROWS:
        heading = {"type": "row", "title": question, "collapsed": False, "panels": []}
        placed.append({"id": len(placed) + 1, **heading, "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}})
        y += 1
        x = tallest = 0
        for panel in contents:
            if x + panel.width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            placed.append(panel_json(panel, len(placed) + 1, x, y))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return placed


def dashboard() -> Json:
    """The whole dashboard."""
    return {
        "uid": "winback",
        "title": "Winback",
        "description": "Is it keeping up? What is it refusing? What is it doing to customers? Can the model be trusted?",
        "tags": ["winback"],
        "schemaVersion": 39,
        "version": 1,
        "editable": False,
        "timezone": "browser",
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "graphTooltip": 1,
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                    "current": {"text": "Prometheus", "value": "winback-prometheus"},
                },
                {
                    "name": "worker",
                    "label": "Worker",
                    "type": "query",
                    "datasource": SOURCE,
                    "query": {"query": "label_values(winback_build_info, instance)", "refId": "workers"},
                    "refresh": 2,
                    "sort": 1,
                    "multi": True,
                    "includeAll": True,
                    "allValue": ".*",
                    "current": {"text": ["All"], "value": ["$__all"]},
                },
            ]
        },
        "annotations": {
            "list": [
                {
                    "name": "Alerts",
                    "datasource": SOURCE,
                    "enable": True,
                    "iconColor": "red",
                    "expr": 'ALERTS{alertstate="firing", alertname=~"Winback.*"}',
                    "titleFormat": "{{alertname}}",
                    "step": "60s",
                }
            ]
        },
        "panels": panels(),
    }


def render() -> str:
    """The text of the file."""
    return json.dumps(dashboard(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(render(), encoding="utf-8")
