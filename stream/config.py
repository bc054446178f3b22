"""Settings: every knob of Winback with its default, unit and meaning, in one frozen object.

Nothing here reads the environment: `stream.environment.read_settings` and the command line do. The table in the docs is generated
from `SETTINGS`, and `problems` checks all values at once.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from stream.errors import ConfigurationError
from stream.zones import zone

DAY_MS = 86_400_000
QUIET_HOURS = r"([01]\d:[0-5]\d|2[0-3]:[0-5]\d)-([01]\d:[0-5]\d|2[0-3]:[0-5]\d)"
"""Two times of the local day, such as 21:00-08:00."""
CAP = r"(channel|group):([a-z0-9-]+)=(\d{1,4})/(\d{1,3})([hd])"
"""A cap besides the customer's: its scope, how many, in what rolling window; such as channel:sms=1/7d."""
TIER_CHANNELS = r"([a-z_]+)=([a-z]+(?:>[a-z]+)*)"
"""A tier and the channels that it is best reached by, the best one first; such as high=push>app."""
CHANNEL_COST = r"([a-z]+)=([0-9]{1,9})"
"""A channel and what one message on it costs, in minor units; such as sms=7."""
TIERS_OF_ALL = (
    *("prospect", "lost", "low", "medium", "high", "churn_risk", "lapsed"),
    *("high_value", "potential", "maintenance", "standard"),
    *("active_loyal", "passive_loyal", "bargain_chaser", "drop_out", "forming"),
    *("acquire", "activate", "grow", "retain", "win_back"),
    *("champions", "loyal", "potential_loyalists", "new_customers", "promising", "needs_attention"),
    *("about_to_sleep", "at_risk", "cant_lose_them", "hibernating"),
)
"""Words for the tier that counts, of all schemes that can be the primary one."""
_SCHEMES = ("share", "value", "loyalty", "lifecycle", "cluster", "core")
_CHANNELS = frozenset(("email", "sms", "push", "app", "wechat", "call"))


class Help(msgspec.Struct, frozen=True):
    """What a setting is for, for the docs, ``--help`` and error messages."""

    text: str
    unit: str = ""
    secret: bool = False


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All settings. Construct with `make_settings`, which checks them.

    >>> make_settings(partitions=0, churn_threshold=1.5)
    Traceback (most recent call last):
    ...
    stream.errors.ConfigurationError: 2 problems in the configuration
      - partitions: 0 is not between 1 and 1024
      - churn_threshold: 1.5 is not between 0 and 1
    """

    # -- Kafka
    broker: Annotated[str, Help("Kafka bootstrap address, `kafka://host:port[,host:port]`")] = "kafka://127.0.0.1:9092"
    app_id: Annotated[str, Help("consumer group, changelog prefix and transactional id prefix")] = "winback"
    partitions: Annotated[int, Help("partitions of every keyed topic when Winback creates them")] = 4
    replication_factor: Annotated[int, Help("replicas of the topics that Winback creates")] = 1
    topic_purchases: Annotated[str, Help("input: purchases, refunds")] = "crm.purchases.v1"
    topic_browses: Annotated[str, Help("input: views, carts, searches, sessions")] = "crm.browses.v1"
    topic_feedback: Annotated[str, Help("input: ratings, NPS, CSAT, complaints")] = "crm.feedback.v1"
    topic_profiles: Annotated[str, Help("input: identify, consent")] = "crm.profiles.v1"
    topic_outcomes: Annotated[str, Help("input: what became of actions")] = "crm.outcomes.v1"
    topic_actions: Annotated[str, Help("output: what marketing automation should do")] = "crm.actions.v1"
    topic_alerts: Annotated[str, Help("output: churn alerts")] = "crm.alerts.v1"
    topic_suppressions: Annotated[str, Help("output: decisions that governance held back, with the reason")] = (
        "crm.suppressions.v1"
    )
    topic_tiers: Annotated[str, Help("output: changes of tier and segment")] = "crm.tiers.v1"
    topic_kpis: Annotated[str, Help("output: the programme's figures, once a day")] = "crm.kpis.v1"
    topic_models: Annotated[str, Help("output: promotions, undoing and drift of the churn model")] = "crm.models.v1"
    topic_experiments: Annotated[str, Help("output: outcomes of measured rules, once a day")] = "crm.experiments.v1"
    kafka_security: Annotated[
        Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"], Help("how to connect to Kafka")
    ] = "plaintext"
    kafka_ca_file: Annotated[str, Help("CA certificate file for TLS; empty: the system's")] = ""
    kafka_sasl_mechanism: Annotated[
        Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"], Help("SASL mechanism, with sasl_*")
    ] = "SCRAM-SHA-512"
    kafka_sasl_username: Annotated[str, Help("SASL user")] = ""
    kafka_sasl_password: Annotated[str, Help("SASL password, or `file:/path` to read it from", secret=True)] = ""
    # -- delivery
    delivery: Annotated[
        Literal["exactly_once", "at_least_once"], Help("one Kafka transaction a batch, or plain acknowledged sends")
    ] = "exactly_once"
    batch_records: Annotated[int, Help("most records in one transaction", "records")] = 12_000
    batch_linger_ms: Annotated[int, Help("longest wait to fill a batch", "ms")] = 5
    transaction_timeout_ms: Annotated[int, Help("broker aborts a transaction that stays open longer", "ms")] = 60_000
    session_timeout_ms: Annotated[int, Help("a silent worker's partitions move to others after this", "ms")] = 10_000
    max_record_bytes: Annotated[int, Help("larger input records are dead letters", "bytes")] = 1_048_576
    redrive_attempts: Annotated[int, Help("how often one dead letter may be sent back", "attempts")] = 3
    # -- time
    clock: Annotated[Literal["wall", "event"], Help("what drives timers; `event` is for data sets and tests")] = "wall"
    earliest_event: Annotated[str, Help("events before this instant are refused", "RFC 3339")] = "1990-01-01T00:00:00Z"
    future_tolerance_ms: Annotated[int, Help("events further ahead of their record are refused", "ms")] = DAY_MS
    # -- money
    currency: Annotated[str, Help("the shop's currency; amounts are kept in its minor units", "ISO 4217")] = "USD"
    rates_file: Annotated[str, Help("CSV of dated rates into the shop's currency: date,currency,rate")] = ""
    # -- memory per customer
    memory_days: Annotated[int, Help("orders are remembered one by one this long", "days")] = 400
    memory_orders: Annotated[int, Help("most orders remembered one by one per customer", "orders")] = 256
    memory_message_days: Annotated[int, Help("message ids and activity are remembered this long", "days")] = 30
    memory_messages: Annotated[int, Help("most message ids remembered per customer", "ids")] = 256
    # -- churn
    churn: Annotated[
        Literal["learn", "off"],
        Help(
            "learn who won't come back; off: no scores, no alerts, nothing kept for labels, and no clusters, which learn from them"
        ),
    ] = "learn"
    churn_horizon_days: Annotated[int, Help("churned = no purchase within this many days", "days")] = 90
    churn_horizon_cycles: Annotated[
        float,
        Help(
            "above 0: a customer with a purchase cycle has churned after so many own cycles without a purchase, and after "
            "`churn_horizon_days` at the latest",
            "own cycles",
        ),
    ] = 0.0
    churn_threshold: Annotated[float, Help("alert when P(churn) crosses this upward", "probability")] = 0.7
    churn_min_labels: Annotated[int, Help("matured labels before any score is trusted", "labels")] = 200
    churn_quiet_days: Annotated[int, Help("no alert within this many days after a purchase", "days")] = 14
    churn_contest_labels_per_day: Annotated[
        int,
        Help(
            "labels a day, a sample if there are more, that the churn models are compared by and the challengers learn from; 0: no contest",
            "labels",
        ),
    ] = 200
    # -- products
    product_orders_per_day: Annotated[
        int,
        Help("orders a day that product associations are learnt from, a sample if there are more; 0: none", "orders"),
    ] = 2_000
    product_half_life_days: Annotated[
        int, Help("an order counts half of what one that many days later does", "days")
    ] = 60
    # -- segments
    schemes: Annotated[
        str,
        Help(
            "what is computed and told beside fixed tiers and RFM segments, of `share,value,loyalty,lifecycle,cluster,core`; empty: nothing"
        ),
    ] = "share,value,loyalty,lifecycle,cluster,core"
    tier_scheme: Annotated[
        Literal["fixed", "segment", "share", "value", "loyalty", "lifecycle"],
        Help("the scheme whose classes are the tiers that rules, budgets and channels go by"),
    ] = "fixed"
    tier_weights: Annotated[
        str, Help("what recency, frequency, money and NPS weigh in the tiers by population share")
    ] = "r=0.3,f=0.25,m=0.25,nps=0.2"
    tier_margin: Annotated[
        float, Help("so close to a border of ranks a customer stays in the tier they were in", "share")
    ] = 0.02
    value_index: Annotated[
        Literal["ranks", "as_written"],
        Help(
            "which value index the groups go by: of ranks, or the documents' formula, in which being away counts as worth"
        ),
    ] = "ranks"
    value_weights: Annotated[str, Help("what recency, frequency and money weigh in the value index")] = (
        "r=0.4,f=0.3,m=0.3"
    )
    high_value_spend: Annotated[
        float, Help("more than this in 365 days is needed to be of high value", "currency units")
    ] = 5_000.0
    loyalty_weights: Annotated[
        str,
        Help(
            "what the indicators weigh in the loyalty of 0 to 100; those that aren't known leave theirs to the others"
        ),
    ] = "nps=0.25,csat=0.15,frequency=0.25,value=0.15,churn=0.2"
    # -- value
    panel_customers: Annotated[
        int,
        Help(
            "customers whose purchases the models of value are fitted to, a random sample; 0: nobody is valued",
            "customers",
        ),
    ] = 8_000
    lifetime_years: Annotated[
        float, Help("how long a customer is one, for the value of a customer as the documents have it", "years")
    ] = 3.0
    promotions: Annotated[
        str,
        Help("days of promotions that were and will be, for the loyalty forecast: `2026-06-01/2026-06-18,2026-11-11`"),
    ] = ""
    # -- quality of what comes in
    suspects: Annotated[
        Literal["watch", "off"],
        Help("look for customers who are no persons, and leave them out of thresholds and training"),
    ] = "watch"
    missing_figures: Annotated[
        Literal["mean", "off"], Help("learn the means of tiers, to stand in for figures that customers lack")
    ] = "mean"
    # -- feedback
    sentiment_texts_per_day: Annotated[
        int,
        Help("rated texts a day that sentiment is learnt from, a sample if there are more; 0: none is told", "texts"),
    ] = 2_000
    # -- rules and governance
    rules_dir: Annotated[str, Help("folder of rule files; empty: the shipped library")] = ""
    consent_default: Annotated[
        Literal["opt_out", "opt_in"], Help("may customers be contacted before they said anything?")
    ] = "opt_out"
    cap_messages: Annotated[int, Help("most actions per customer in the cap's window", "actions")] = 3
    cap_window_days: Annotated[int, Help("rolling window of the frequency cap", "days")] = 7
    caps: Annotated[
        str, Help("further caps per customer by channel or rule group: `channel:sms=1/7d,group:recall=2/30d`")
    ] = ""
    time_zone: Annotated[str, Help("the shop's time zone, for customers whose own isn't known", "IANA name")] = "UTC"
    quiet_hours: Annotated[
        str, Help("actions on `quiet_channels` wait for the end of these hours, on the customer's clock; empty: none")
    ] = "21:00-08:00"
    quiet_channels: Annotated[str, Help("channels that ring, so that quiet hours matter")] = "sms,push,app,wechat,call"
    tier_channels: Annotated[
        str, Help("where a rule names several channels: what each tier is best reached by, the best one first")
    ] = (
        "high=push>app>wechat,low=sms>wechat,lost=sms>wechat,churn_risk=sms>wechat,lapsed=sms>wechat,"
        "high_value=push>app>wechat,maintenance=sms>wechat,active_loyal=push>app>wechat,drop_out=sms>wechat,"
        "retain=push>app>wechat,win_back=sms>wechat,champions=push>app>wechat,hibernating=sms>wechat"
    )
    channel_costs: Annotated[
        str,
        Help("what one message costs by channel, besides the rule's own `cost_minor`, minor units: `sms=7,call=150`"),
    ] = ""
    decision_window_ms: Annotated[
        int, Help("rules that exclude each other are compared over this window; the highest priority goes out", "ms")
    ] = 600_000
    budget_daily_minor: Annotated[int, Help("money for actions per UTC day; 0: no limit", "minor units")] = 0
    budget_reserved_share: Annotated[float, Help("of it, what only high and medium tiers may use", "share")] = 0.6
    breaker_actions_per_minute: Annotated[int, Help("more, and nothing goes out for a while; 0: no limit")] = 0
    breaker_open_minutes: Annotated[int, Help("how long the circuit breaker holds actions back", "minutes")] = 15
    test_customers: Annotated[str, Help("customers whose actions never reach a channel, separated by commas")] = ""
    timer_spread_ms: Annotated[int, Help("day-scale timers are spread over this window by customer", "ms")] = 3_600_000
    # -- web
    web_host: Annotated[str, Help("address of the HTTP API; other than loopback needs a token")] = "127.0.0.1"
    web_port: Annotated[int, Help("port of the HTTP API, metrics and probes")] = 6066
    web_token: Annotated[str, Help("bearer token of the HTTP API, or `file:/path`", secret=True)] = ""
    # -- local state
    state_dir: Annotated[
        str, Help("folder for a copy of the state, from which a worker starts faster; empty: none")
    ] = ""
    state_store: Annotated[
        Literal["memory", "disk"], Help("where customers are kept; `disk` needs `state_dir` and less memory")
    ] = "memory"
    # -- housekeeping
    data_dir: Annotated[str, Help("folder of the embedded broker and of local state")] = ".winback"
    maven_repository: Annotated[str, Help("where the embedded broker's jars come from; empty: Maven Central")] = ""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Help("what the log shows")] = "info"

    @property
    def input_topics(self) -> tuple[str, ...]:
        """The public input topics, in the order of the life of a customer."""
        return (
            self.topic_purchases,
            self.topic_browses,
            self.topic_feedback,
            self.topic_profiles,
            self.topic_outcomes,
        )

    @property
    def topic_repartition(self) -> str:
        """Internal: records that arrived on a partition which doesn't own their customer."""
        return f"{self.app_id}.repartition.v1"

    @property
    def topic_contributions(self) -> str:
        """Internal: what partitions add to the next epoch."""
        return f"{self.app_id}.contributions.v1"

    @property
    def topic_rules(self) -> str:
        """Internal: the rules that are live and what people have switched, every version of both."""
        return f"{self.app_id}.rules.v1"

    @property
    def topic_epochs(self) -> str:
        """Internal: thresholds and model that all partitions share, one version a day."""
        return f"{self.app_id}.epochs.v1"

    @property
    def topic_changelog(self) -> str:
        """Internal: the customers' records, compacted."""
        return f"{self.app_id}-customers-changelog"


_RANGES: dict[str, tuple[float, float]] = {
    "partitions": (1, 1024),
    "replication_factor": (1, 15),
    "batch_records": (1, 100_000),
    "batch_linger_ms": (0, 10_000),
    "transaction_timeout_ms": (1_000, 900_000),
    "session_timeout_ms": (1_000, 1_800_000),
    "max_record_bytes": (1_024, 4_194_304),
    "redrive_attempts": (1, 100),
    "future_tolerance_ms": (0, 366 * DAY_MS),
    "memory_days": (366, 4_000),
    "memory_orders": (16, 100_000),
    "memory_message_days": (30, 400),
    "memory_messages": (16, 100_000),
    "churn_horizon_days": (7, 365),
    "churn_horizon_cycles": (0, 100),
    "churn_threshold": (0, 1),
    "churn_min_labels": (20, 10_000_000),
    "churn_quiet_days": (0, 365),
    "churn_contest_labels_per_day": (0, 100_000),
    "product_orders_per_day": (0, 10_000_000),
    "product_half_life_days": (1, 3_650),
    "tier_margin": (0, 0.1),
    "high_value_spend": (0, 1e12),
    "panel_customers": (0, 30_000),
    "lifetime_years": (0.1, 100),
    "sentiment_texts_per_day": (0, 1_000_000),
    "cap_messages": (0, 1_000),
    "cap_window_days": (1, 365),
    "decision_window_ms": (0, DAY_MS),
    "budget_daily_minor": (0, 10**15),
    "budget_reserved_share": (0, 1),
    "breaker_actions_per_minute": (0, 10**9),
    "breaker_open_minutes": (1, 1_440),
    "timer_spread_ms": (0, DAY_MS),
    "web_port": (0, 65_535),
}
"""Smallest and largest sensible value. ``memory_days`` must cover the 365-day window, ``memory_message_days`` the 30-day
views; the upper ends keep a typing error from exhausting memory."""


class Setting(msgspec.Struct, frozen=True):
    """One row of the settings table."""

    name: str
    default: Any
    type_name: str
    help: Help

    @property
    def variable(self) -> str:
        """Name of the environment variable."""
        return f"WINBACK_{self.name.upper()}"


def _rows() -> tuple[Setting, ...]:
    hints = get_type_hints(Settings, include_extras=True)
    rows = []
    for field in msgspec.structs.fields(Settings):
        kind, text = get_args(hints[field.name])
        shown = " | ".join(get_args(kind)) if get_origin(kind) is Literal else kind.__name__
        rows.append(Setting(field.name, field.default, shown, text))
    return tuple(rows)


SETTINGS: tuple[Setting, ...] = _rows()
"""Every setting, in the order of the table in the docs."""


def make_settings(**values: Any) -> Settings:
    """Settings from values (strings are converted), or a `ConfigurationError` with every problem."""
    found: list[str] = []
    known = {row.name: row for row in SETTINGS}
    hints = get_type_hints(Settings)
    clean: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            found.append(f"{name}: no such setting")
            continue
        try:
            clean[name] = msgspec.convert(value, hints[name], strict=False)
        except msgspec.ValidationError as error:
            found.append(f"{name}: {value!r}: {error}")
    settings = Settings(**clean)
    found += problems(settings)
    if found:
        raise ConfigurationError(found)
    return settings


def problems(settings: Settings) -> list[str]:
    """Everything that is wrong with these settings, one sentence each; empty when all is well."""
    found = []
    for name, (low, high) in _RANGES.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            found.append(f"{name}: {value} is not between {low:g} and {high:g}")
    if not re.fullmatch(r"[A-Z]{3}", settings.currency):
        found.append(f"currency: {settings.currency!r} is not an ISO 4217 code such as EUR")
    if not re.fullmatch(r"kafka://[^,\s/]+:\d+(,[^,\s/]+:\d+)*", settings.broker):
        found.append(f"broker: {settings.broker!r} is not of the form kafka://host:port[,host:port]")
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", settings.app_id):
        found.append(f"app_id: {settings.app_id!r} may hold letters, digits, dot, dash and underscore only")
    if settings.web_host not in ("127.0.0.1", "localhost", "::1") and not settings.web_token:
        found.append(f"web_host: {settings.web_host} is reachable from outside, so web_token must be set")
    if settings.state_store == "disk" and not settings.state_dir:
        found.append("state_store: disk needs a folder in state_dir")
    if zone(settings.time_zone) is None:
        found.append(f"time_zone: {settings.time_zone!r} is not an IANA name such as Europe/Berlin")
    if settings.quiet_hours and not re.fullmatch(QUIET_HOURS, settings.quiet_hours):
        found.append(f"quiet_hours: {settings.quiet_hours!r} is not of the form 21:00-08:00")
    channels = [word.strip() for word in settings.quiet_channels.split(",") if word.strip()]
    found += [f"quiet_channels: there is no channel {word!r}" for word in channels if word not in _CHANNELS]
    for word in filter(None, (word.strip() for word in settings.caps.split(","))):
        if not re.fullmatch(CAP, word):
            found.append(f"caps: {word!r} is not of the form channel:sms=1/7d or group:recall=2/30d")
    for word in filter(None, (word.strip() for word in settings.tier_channels.split(","))):
        found += _wrong_tier_channels(word)
    for word in filter(None, (word.strip() for word in settings.channel_costs.split(","))):
        found += _wrong_channel_cost(word)
    found += _wrong_weights("tier_weights", settings.tier_weights, ("r", "f", "m", "nps"))
    found += _wrong_weights("value_weights", settings.value_weights, ("r", "f", "m"))
    for word in filter(None, settings.promotions.split(",")):
        found += _wrong_span("promotions", word)
    found += _wrong_weights("loyalty_weights", settings.loyalty_weights, ("nps", "csat", "frequency", "value", "churn"))
    schemes = [word for word in settings.schemes.split(",") if word]
    found += [
        f"schemes: there is no scheme {word!r}, only {', '.join(_SCHEMES)}" for word in schemes if word not in _SCHEMES
    ]
    if settings.tier_scheme not in ("fixed", "segment", *schemes):
        found.append(f"tier_scheme: {settings.tier_scheme} is not among the schemes that are computed")
    names = [getattr(settings, row.name) for row in SETTINGS if row.name.startswith("topic_")]
    for name in sorted({n for n in names if names.count(n) > 1}):
        found.append(f"topics: {name!r} is used for more than one topic")
    return found


def numbers(text: str) -> dict[str, float]:
    """Named numbers out of a setting.

    >>> numbers("r=0.4, f=0.3")
    {'r': 0.4, 'f': 0.3}
    """
    pairs = (word.partition("=") for word in text.split(","))
    return {name.strip(): float(number) for name, _, number in pairs}


def _wrong_weights(name: str, text: str, known: tuple[str, ...]) -> list[str]:
    shape = r"\s*([a-z]+)\s*=\s*((?:0|1)(?:\.\d+)?)\s*"
    found = [re.fullmatch(shape, word) for word in text.split(",")]
    if None in found or any(match[1] not in known for match in found if match):
        return [
            f"{name}: {text!r} is not of the form {','.join(f'{each}=0.3' for each in known)}, of {', '.join(known)}"
        ]
    return [] if any(numbers(text).values()) else [f"{name}: something must weigh more than 0"]


def spans(text: str) -> tuple[tuple[int, int], ...]:
    """First and last UTC days of the spans of a setting, in days since 1970.

    >>> spans("1970-01-02/1970-01-04,1970-02-01")
    ((1, 3), (31, 31))
    """
    found = []
    for word in text.split(","):
        if word:
            first, _, last = word.partition("/")
            found.append((_day(first), _day(last or first)))
    return tuple(found)


def _day(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def _wrong_span(name: str, word: str) -> list[str]:
    try:
        ((first, last),) = spans(word)
    except ValueError:
        return [f"{name}: {word!r} is not of the form 2026-06-01/2026-06-18 or 2026-11-11"]
    if first <= last <= first + 366:
        return []
    return [f"{name}: {word!r} {'ends before it begins' if last < first else 'takes longer than a year'}"]


def _wrong_channel_cost(word: str) -> list[str]:
    match = re.fullmatch(CHANNEL_COST, word)
    if match is None:
        return [f"channel_costs: {word!r} is not of the form sms=7, in minor units"]
    return [] if match[1] in _CHANNELS else [f"channel_costs: there is no channel {match[1]!r}"]


def _wrong_tier_channels(word: str) -> list[str]:
    match = re.fullmatch(TIER_CHANNELS, word)
    if match is None:
        return [f"tier_channels: {word!r} is not of the form high=push>app"]
    tiers = [] if match[1] in TIERS_OF_ALL else [match[1]]
    return [f"tier_channels: there is no tier {name!r}, only {', '.join(TIERS_OF_ALL)}" for name in tiers] + [
        f"tier_channels: there is no channel {name!r}" for name in match[2].split(">") if name not in _CHANNELS
    ]
