"""The data dictionary: every figure, field and code of Winback with its unit and its definition (MISSION A6).

``docs/data-dictionary.md`` is the output of ``python -m stream.dictionary``. What the code knows is taken from it (names,
types, bounds, defaults); what only people know (meanings) is written here, and a missing or left-over meaning is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from stream.actions.alert import Alert
from stream.actions.decision import Decision
from stream.actions.effects import Effects
from stream.actions.kpis import Kpis
from stream.actions.tier_change import TierChange
from stream.churn.features import FEATURES
from stream.config import SETTINGS
from stream.events.kinds import Aliased, Event, Identified
from stream.events.rejected import Reason
from stream.events.segment import MESSAGES
from stream.events.wire import Address, Envelope, Product, Traits
from stream.rules.vocabulary import VARIABLES
from stream.segments import tiers
from stream.segments.named import PROSPECTS, SEGMENTS, segment_of

_INPUT_FIELDS: dict[str, tuple[str, str]] = {
    "type": ("`track`, `identify`, `page`, `screen`, `alias`", "what kind of message this is"),
    "event": ("name", "name of a `track` event; case, dashes and underscores don't matter"),
    "userId": ("id", "the customer's key"),
    "anonymousId": ("id", "the key while nobody has signed in, kept as `anon:` and this id"),
    "previousId": ("id", "of an `alias`: the identity that `userId` takes over"),
    "messageId": ("id", "the duplicate key: the same id with the same content changes nothing"),
    "timestamp": ("RFC 3339 with a zone", "event time, never the time of arrival"),
    "sentAt": ("RFC 3339 with a zone", "the sender's clock when it sent"),
    "receivedAt": ("RFC 3339 with a zone", "the collector's clock; event time is timestamp + (receivedAt − sentAt)"),
    "originalTimestamp": ("RFC 3339", "present when the collector has corrected `timestamp` already"),
    "properties": ("object", "the fields of the event, below"),
    "traits": ("object", "the fields of `identify`, below"),
    "specversion": ("`1.0`", "CloudEvents, structured mode: this is an envelope around the message in `data`"),
    "id": ("id", "CloudEvents: stands in for `messageId`"),
    "time": ("RFC 3339 with a zone", "CloudEvents: stands in for `timestamp`"),
    "subject": ("id", "CloudEvents: stands in for `userId`"),
    "data": ("object", "CloudEvents: the message"),
    "order_id": (
        "id",
        "identity of the order, `messageId` without it; several sends of it are one order. Of `Action Converted`: which it was",
    ),
    "revenue": (
        "whole currency units",
        "worth of the order, what counts; of a refund, what went back; of `Action Converted`, what was bought",
    ),
    "total": ("whole currency units", "used when there is no `revenue`; a refund with neither is of the whole order"),
    "discount": ("whole currency units", "discount given"),
    "currency": ("ISO 4217", "currency of every amount of the message; the shop's own when left out"),
    "coupon": ("code", "coupon used"),
    "affiliation": ("name", "the shop's branch or storefront"),
    "channel": ("name", "where it happened: web, app, pos, …"),
    "products": ("list", "lines of the order or of the whole cart"),
    "product_id": ("id", "the product; `sku`, then `name` without it"),
    "sku": ("id", "stock keeping unit"),
    "name": ("text", "name of the product"),
    "category": ("name", "category of the product"),
    "price": ("whole currency units", "price of one piece"),
    "quantity": ("pieces", "how many, 1 when left out"),
    "query": ("text", "what was searched for"),
    "rating": ("0–5", "stars, as text (as the specification has it) or as a number"),
    "review_body": ("text", "words of the review"),
    "score": ("NPS 0–10, CSAT 1–5", "the answer"),
    "complaint_id": ("id", "which complaint was opened or resolved"),
    "granted": ("boolean", "may the customer be contacted"),
    "consent_channel": ("name or `*`", "on which channel, `*` for all"),
    "action_id": ("id", "of which action, or which held-out decision, this is the outcome"),
    "region": ("code", "region or country; `address.country` without it"),
    "address": ("object", "only `country` is read; nothing else of it is kept"),
    "language": ("BCP 47", "language; `locale` without it"),
    "country": ("ISO 3166", "of the `address`: used when there is no `region`"),
    "locale": ("BCP 47", "used when there is no `language`"),
    "timezone": ("IANA name", "the customer's time zone"),
    "birthday": ("date", "day of birth"),
    "level": ("name", "membership level in the shop's own programme"),
    "membership_expires": ("date", "last day of the membership"),
    "referred_by": ("id", "who brought the customer"),
    "consent": ("channel → boolean", "several choices at once"),
}
_LEAVING: tuple[tuple[str, type[msgspec.Struct]], ...] = (
    ("action, suppression", Decision),
    ("alert", Alert),
    ("tier change", TierChange),
    ("KPIs", Kpis),
    ("experiment", Effects),
)
KPI_RATES: dict[str, str] = {
    "repurchase": "of all buyers, who has bought at least twice, ever",
    "retention": "of those who weren't silent a horizon ago, who has bought since",
    "churn": "of the same, who hasn't",
    "recall": "of those who were silent a horizon ago, who has bought since",
    "recall_written": "the same, of those who were sent something meanwhile",
    "recall_unwritten": "the same, of those who weren't",
    "referral": "of those who bought for the first time within a period, whom somebody brought (`referred_by`)",
    "participation": "of those who bought within a horizon, who answered a message or gave feedback in it",
}
"""Shares of the programme; silent is who hasn't bought for a horizon."""
_OUTPUT_FIELDS: dict[str, tuple[str, str]] = {
    "schema_version": ("number", "raised when a reader of the old one would misunderstand the new one"),
    "action_id": ("32 hex digits", "hash of rule, customer and occurrence: the same decision always has the same id"),
    "alert_id": ("32 hex digits", "hash of kind, customer and occurrence"),
    "change_id": ("32 hex digits", "hash of customer, instant, tier, and segment or scheme"),
    "verdict": (
        "`publish`, `suppressed`, `deferred`, `ended`",
        (
            "is it to be carried out; `ended` tells of a journey's end, with `reason` saying how. Of an experiment: `works`, "
            "`harms`, `no_effect`, `too_early`, `null` without a hold-out"
        ),
    ),
    "reason": ("text", "of a decision: why it was held back; of a tier change: the figures that decided"),
    "kind": ("name", "what is to be done, or what is alerted about"),
    "customer_id": ("id", "the customer's key"),
    "rule": ("object", "id and version of the rule, and the version of all rules together"),
    "occurrence": ("text", "what made it due: an order, a cart, a day"),
    "channel": ("name", "on which channel the customer is to be met"),
    "template": ("name", "which text the sender is to use"),
    "offer": ("object", "what is offered with it"),
    "product": (
        "object",
        "the product to recommend, `because_of` which other one, `how` (`together`, `next`, `again`, `popular`), `support`, `confidence`, `lift`, `orders`",
    ),
    "priority": ("0–100", "greater goes first when several compete"),
    "decided_at": ("RFC 3339", "when it was decided, in event time"),
    "not_before": ("RFC 3339", "not to be carried out earlier"),
    "expires_at": ("RFC 3339", "worth nothing from then on"),
    "experiment": ("object", "arm of the experiment, and whether the customer is held out"),
    "state": ("object", "the customer's figures that it was decided on"),
    "score": ("object", "the churn score, its model, and why it must not be trusted, if so"),
    "explanation": ("object", "why, in words, as matched conditions and as signed contributions (log-odds)"),
    "governance": ("list", "every check and what it said: consent, frequency cap, cool-down, expiry"),
    "cause": ("object", "the event, timer or alert that made the rule decide"),
    "probability": ("0–1", "P(no purchase within the horizon)"),
    "previous_probability": ("0–1", "the same at the score before, `null` at the first"),
    "threshold": ("0–1", "crossed upward"),
    "horizon_days": ("days", "churned means no purchase within this many"),
    "changed_at": ("RFC 3339", "when the tier, segment or class changed"),
    "scheme": ("name", "of the tiers: `fixed` (and named segments), or one of the other [schemes](segments.md)"),
    "tier": ("name", "tier, or class in another scheme, from then on"),
    "previous_tier": ("name", "tier before, `null` for a new customer"),
    "segment": ("name", "named segment from then on, empty before there are thresholds"),
    "previous_segment": ("name", "named segment before"),
    "r": ("1–5", "recency score, 0 before there are thresholds"),
    "f": ("1–5", "frequency score"),
    "m": ("1–5", "monetary score"),
    "thresholds_day": ("date", "which day's version of the population scored it"),
    "kpi_id": ("32 hex digits", "hash of the day"),
    "effects_id": ("32 hex digits", "hash of day, rule, version and arm"),
    "day": ("date", "the last UTC day that is in the figures"),
    "computed_at": ("RFC 3339", "the midnight that ends it"),
    "period_days": ("days", "each buyer is looked at once in so many, and counts once"),
    "currency": ("ISO 4217", "of every amount in minor units"),
    **{
        name: ("`value`, `number`, `of`", f"{text}, as a share and its two numbers") for name, text in KPI_RATES.items()
    },
    "value_by_tier": (
        "list",
        (
            "customers of each tier, what they have spent ever, what one of them spends in a year at the pace of the last period, and "
            "is expected to spend in the year to come"
        ),
    ),
    "rule_id": ("name", "the measured rule"),
    "version": ("number", "its version: each is an experiment of its own"),
    "arm": ("name", "`control` for the hold-out, a variant's id, `default` for everybody else"),
    "holdout": ("boolean", "the arm is the hold-out"),
    "exposed": ("customers", "customers whose window is over, each once"),
    "converted": ("customers", "of them, who bought in the window after they first met the rule"),
    "conversion": ("0–1", "`converted` ÷ `exposed`"),
    "orders": ("orders", "what they bought in it"),
    "revenue_minor": ("minor units", "for how much"),
    "actions": ("actions", "published in those windows"),
    "cost_minor": ("minor units", "what they cost"),
    "reported": ("customers", "who is reported to have bought, in orders that aren't in the order book"),
    "reported_minor": ("minor units", "for how much"),
    "text": ("text", "the verdict in words, `null` without a hold-out"),
    "difference": ("`value`, `low`, `high`", "share who bought, less that of the hold-out"),
    "uplift": ("`value`, `low`, `high`", "ratio of the two shares, less 1"),
    "extra_revenue_minor": (
        "`value`, `low`, `high`",
        "what the customers spent beyond what they would have anyway, minor units",
    ),
    "roi": ("`value`, `low`, `high`", "extra revenue over cost, less 1"),
    "by_channel_and_tier": (
        "list",
        "the same counts by channel and tier; `all` for versions that have been over for long",
    ),
}
VIEW: dict[str, tuple[str, str]] = {
    "customer_id": ("id", "the customer's key"),
    "as_of": ("RFC 3339", "the instant that all figures hold for"),
    "recency_days": ("days", "UTC days since the last order that counts, `null` without one"),
    "windows": ("orders, minor units", "for 7, 30, 90, 365 days: UTC days d with today − W < d ≤ today"),
    "lifetime": ("orders, minor units", "all orders that count, ever"),
    "clamped_refunds": ("orders", "orders from which more was asked back than they were worth; their money is 0"),
    "currency": ("ISO 4217", "of every amount in minor units"),
    "rfm": ("1–5", "scores by mid-rank in the living population: 1 + ⌊5 × (share below + half the share equal)⌋"),
    "segment": ("name", "named segment, below"),
    "tier": ("name", "tier in the scheme of the setting `tier_scheme`; by fixed thresholds, below, unless set"),
    "tiers": (
        "",
        (
            "the [schemes](segments.md): `fixed` and `share` tier, the tier that the rank alone asks for, and the share of the "
            "living buyers who rank below; `value` group, kind of `loyalty`, stage of life; `core` or other"
        ),
    ),
    "loyalty": ("0–100", "loyalty, out of what is known of the indicators; `null` when nothing is"),
    "loyalty_indicators": ("0–100", "what it is made of: nps, csat, frequency, value, churn"),
    "value_index": (
        "",
        "V = 0.4·ln(R+1) + 0.3·F + 0.3·exp(M/1000), as the documents have it ([mind](segments.md#value) it)",
    ),
    "value_rank": (
        "0–1",
        "share of the living buyers whose value index is lower, by the index of the setting `value_index`",
    ),
    "loyalty_in_90_days": (
        "0–100",
        "loyalty [in three months](value.md#loyalty-in-three-months) and its change; `abstained` says why it isn't told",
    ),
    "core": ("boolean", "both loyal and [valuable](value.md#core-customers)"),
    "lifetime_value": (
        "minor units, purchases",
        (
            "what the customer [will be worth](value.md): as the documents have it, and in the coming 12 months; purchases (days with "
            "orders) and what one is worth; `abstained` says why it isn't known"
        ),
    ),
    "cluster": (
        "text",
        "what sets the [customers who are alike](segments.md#clusters) apart; `null` while nothing is known of it",
    ),
    "personas": ("names", "what sets the customer apart"),
    "churn_probability": ("0–1", "P(no purchase within the horizon), `null` without a model or a purchase"),
    "churn_abstained": ("text", "why the probability must not be acted upon, `null` when it may"),
    "churn_reasons": ("", "the strongest reasons, each with its value, its part of the log-odds and words"),
    "model_day": ("date", "which day's version of the model scored"),
    "first_purchase_at": ("RFC 3339", "first order that counts"),
    "last_purchase_at": ("RFC 3339", "last order that counts"),
    "tenure_days": ("days", "UTC days since the first order that counts, 0 without one"),
    "cycle_days": ("days", "median of the gaps between UTC days of purchase"),
    "cycle_spread_days": ("days", "median absolute deviation of those gaps"),
    "expected_next_purchase_at": ("RFC 3339", "last day of purchase plus the cycle, from two gaps on"),
    "views_30d": ("views", "product views of the last 30 × 24 h"),
    "active_days_30d": ("days", "of the last 30 UTC days, those on which the customer did something"),
    "last_activity_at": ("RFC 3339", "the last thing that the customer did"),
    "cart": ("pieces, minor units", "what lies in the cart, and its worth by the last prices sent"),
    "last_nps": ("0–10", "latest answer, `null` without one"),
    "last_rating": ("0–5", "latest product rating, `null` without one"),
    "suspect": (
        "`orders`, `pace`, `clockwork`, `returns`",
        "why the customer is suspected to be no person, and left out of thresholds and training; null when they aren't",
    ),
    "imputed": (
        "figure → number",
        "means of the tier for `nps`, `csat`, `rating`, `cycle_days` where the customer's own is missing",
    ),
    "last_csat": ("1–5", "the latest satisfaction answer; null when there is none"),
    "rating_trend": (
        "stars",
        "mean of the newer half of the remembered ratings minus that of the older half; 0 before four",
    ),
    "sentiment": (
        "object",
        "of the last five texts: `praise`, the mean probability, and in a `word`: `praise`, `blame`, `unclear`; null when unknown",
    ),
    "open_complaints": ("complaints", "opened and not resolved since"),
    "complaint_age_hours": ("hours", "since the oldest complaint that is open was opened; 0 when there is none"),
    "buys_on": ("channel", "of most orders of the last 365 days; null when none is told"),
    "browses_on": ("channel", "of most other visits of the last 30 days"),
    "answers_on": ("channel", "on which most messages were opened, clicked or followed"),
    "preferred_hour": ("0–23", "hour of the customer's own clock at which they come most; null before three visits"),
    "categories": ("list of names", "first categories of most orders of the last 365 days, at most three"),
    "price_band": ("minor units", "worths between which the middle half of the orders of the last 365 days lies"),
    "discount_share_365d": (
        "share",
        "of the orders of the last 365 days, how many were bought on discount or with a coupon",
    ),
    "next_products": (
        "list of objects",
        "the three products that the customer most likely buys next, with what speaks for each; empty while nothing is known",
    ),
    "consent": ("channel → boolean", "the latest choice for each channel; a tie counts as a refusal"),
}
"""A customer's line in ``customers.jsonl``, and the answer of ``/customers/{id}``."""
RATES: dict[str, tuple[str, str]] = {
    "repurchase": ("share", "customers with at least two orders that count ÷ customers with at least one, ever"),
    "actions_per_customer": ("actions", "actions published ÷ customers known"),
    "alerts_per_customer": ("alerts", "alerts published ÷ customers known"),
}
"""Rates of ``summary.json``."""
REASONS: dict[Reason, str] = {
    Reason.NOT_UTF8: "the bytes are not UTF-8",
    Reason.NOT_JSON: "the text is not JSON; half a surrogate pair and a byte order mark count as that",
    Reason.TOO_LARGE: "more bytes than the setting `max_record_bytes`",
    Reason.EMPTY: "the record has no value",
    Reason.NOT_SEGMENT: "JSON, but no Segment message and no CloudEvent around one",
    Reason.WRONG_TYPE: "a field has another type than the schema says",
    Reason.NO_CUSTOMER: "neither `userId` nor `anonymousId`",
    Reason.NO_MESSAGE_ID: "no `messageId`",
    Reason.NO_TIME: "no `timestamp`",
    Reason.BAD_TIME: "an instant that is not RFC 3339",
    Reason.NO_ZONE: "an instant without Z or offset",
    Reason.TIME_OUT_OF_RANGE: "before `earliest_event`, too far ahead of the record's own time-stamp, or after 2199",
    Reason.MISSING_FIELD: "a field that this event needs is not there",
    Reason.VALUE_OUT_OF_RANGE: "too long, too short, too large, too small, or a key that is Winback's own",
    Reason.NEGATIVE_MONEY: "an amount below zero",
    Reason.NON_FINITE_MONEY: "not a number, infinite, or too large for a floating point number",
    Reason.MONEY_OUT_OF_RANGE: "more than 10¹² minor units of the shop's currency",
    Reason.UNKNOWN_CURRENCY: "not three letters of ISO 4217",
    Reason.NO_RATE: "no rate for that currency at or before that day in the rates file",
    Reason.SAME_ID_OTHER_BODY: "the customer has sent this `messageId` before with another content",
    Reason.BEYOND_MEMORY: "older than what is remembered, so it can't be told from a repeat",
    Reason.PROCESSING_FAILED: "our own code failed on it, again and again",
}


def markdown() -> str:
    """The whole page."""
    fields = {field.encode_name for field in msgspec.structs.fields(Envelope)}
    structs: tuple[type[msgspec.Struct], ...] = (*(row.properties for row in MESSAGES), Product, Traits, Address)
    inner = {field.encode_name for struct in structs for field in msgspec.structs.fields(struct)}
    _complete("input", fields | inner, _INPUT_FIELDS)
    leaving = {f.encode_name for _, struct in _LEAVING for f in msgspec.structs.fields(struct)}
    _complete("output", leaving, _OUTPUT_FIELDS)
    _complete("reason", set(Reason), REASONS)
    return "\n".join(
        (
            _HEAD,
            "## Messages that come in\n",
            _table(("event", "becomes", "meant for topic", "fields (**needed**)", "meaning"), _messages()),
            "### Fields around every message\n",
            _figures((name, _INPUT_FIELDS[name]) for name in _INPUT_FIELDS if name in fields),
            "### Fields of events\n",
            _figures((name, _INPUT_FIELDS[name]) for name in _INPUT_FIELDS if name in inner),
            "### Why a record is refused\n",
            _table(("reason", "meaning"), ((f"`{reason.value}`", text) for reason, text in REASONS.items())),
            "## Figures of a customer\n",
            "As `winback customer`, `/customers/{id}` and `customers.jsonl` show them.\n",
            _figures(VIEW.items()),
            "### As rules read them\n",
            _figures((v.name, (v.unit or v.type, v.meaning)) for v in VARIABLES.values()),
            "### As the churn model reads them\n",
            _figures((f.name, (f.unit, f.meaning)) for f in FEATURES),
            "## Tiers\n",
            _table(("tier", "definition; the first that holds"), _tiers()),
            "## Named segments\n",
            "By recency score and the mean of frequency and monetary score, rounded up (F and M weigh the same).\n",
            _table(("R \\ mean of F and M", "1", "2", "3", "4", "5"), _grid()),
            f"`{PROSPECTS}` are known but have not bought. All: {', '.join(SEGMENTS)}.\n",
            "## Messages that leave\n",
            _table(("message", "fields"), _leaving()),
            _figures(_OUTPUT_FIELDS.items()),
            "## Rates of a replay's summary\n",
            _figures(RATES.items()),
            "## Settings\n",
            _table(("setting", "variable", "default", "unit or values", "meaning"), _settings()),
        )
    )


_HEAD = """# Data dictionary

This page is made from the code: `python -m stream.dictionary > docs/data-dictionary.md`. Metrics are in
[metrics.md](metrics.md), the language of rules in [rules.md](rules.md), JSON Schemas in `schemas/`.

- **Money** is integer minor units of the shop's currency inside and on everything that leaves (ISO 4217 exponents: 1,050 is
  10.50 USD, 10 is 10 JPY); whole currency units only in what senders write. Other currencies are converted with the rate of
  the event's UTC day, rounded half to even.
- **Time** is event time, milliseconds since 1970 UTC inside, RFC 3339 in UTC on everything that leaves. A day is a UTC day.
- **An order counts** while something is left of it: not worth zero, not cancelled, not refunded in full. It counts in its own
  day, with what is left; refunds of more than that are clamped to it.
- **Ids** are at most 256 characters. A customer's key is `userId`, else `anon:` and `anonymousId`.
"""


def _messages() -> Iterable[tuple[str, ...]]:
    for row in MESSAGES:
        event = row.build(msgspec.convert(_NEEDED, row.properties), "m", "c", 1, False, lambda *_: None)
        yield row.name, f"`{event.kind}`", row.topic, _field_names(row.properties), _first_sentence(type(event))
    yield "identify", f"`{Identified.kind}`", "profiles", _field_names(Traits), _first_sentence(Identified)
    yield "alias", f"`{Aliased.kind}`", "profiles", "", _first_sentence(Aliased)


_NEEDED = {"order_id": "o", "product_id": "p", "score": 1, "complaint_id": "k", "granted": True, "action_id": "a"}
"""What some event needs; each takes its own."""


def _field_names(struct: type[msgspec.Struct]) -> str:
    return ", ".join(f"**{f.encode_name}**" if f.required else f.encode_name for f in msgspec.structs.fields(struct))


def _first_sentence(kind: type[Event]) -> str:
    return " ".join((kind.__doc__ or "").split()).split(". ")[0].rstrip(".")


def _tiers() -> Iterable[tuple[str, ...]]:
    high, medium = tiers.HIGH_RECENCY_DAYS, tiers.MEDIUM_RECENCY_DAYS
    yield f"`{tiers.PROSPECT}`", "no order that counts"
    yield f"`{tiers.LOST}`", f"last order {tiers.LOST_DAYS} days ago or more"
    yield (
        f"`{tiers.HIGH}`",
        f"last order within {high} days, {tiers.HIGH_FREQUENCY} orders and {tiers.HIGH_MONETARY} currency units in 365 days",
    )
    yield f"`{tiers.MEDIUM}`", f"last order within {medium} days and {tiers.MEDIUM_FREQUENCY} orders in 365 days"
    yield f"`{tiers.LOW}`", "everybody else who has bought"


def _grid() -> Iterable[tuple[str, ...]]:
    for r in range(5, 0, -1):
        yield str(r), *(segment_of(r, mean, mean) for mean in range(1, 6))


def _leaving() -> Iterable[tuple[str, ...]]:
    for name, struct in _LEAVING:
        yield name, ", ".join(f"`{field.encode_name}`" for field in msgspec.structs.fields(struct))


def _settings() -> Iterable[tuple[str, ...]]:
    for row in SETTINGS:
        default = "" if row.default == "" else f"`{row.default}`"
        yield f"`{row.name}`", f"`{row.variable}`", default, row.help.unit or row.type_name, row.help.text


def _figures(rows: Iterable[tuple[str, tuple[str, str]]]) -> str:
    return _table(("name", "unit or values", "definition"), ((f"`{name}`", unit, text) for name, (unit, text) in rows))


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _complete(what: str, known: Iterable[str], written: Mapping[Any, Any]) -> None:
    """No figure without a definition, no definition without its figure."""
    missing, left = set(known) - written.keys(), written.keys() - set(known)
    if missing or left:
        raise KeyError(f"{what} fields without a meaning: {sorted(missing)}; meanings without a field: {sorted(left)}")


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201 - this is the program's output
