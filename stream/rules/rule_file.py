"""The form of a rule file, as Structs: the JSON Schema for editors and for checking is generated from them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, UnsetType

from stream.rules.condition import Condition
from stream.rules.experiment import MOST_VARIANTS, Choose, Experiment, Reported, Variant
from stream.rules.journey import MOST_STEPS, Journey
from stream.rules.offer import Offer
from stream.rules.rule import DAY_MS, Before, Every, OnAlert, OnDate, OnEvent, OnFestival, Rule, Since, Trigger
from stream.rules.vocabulary import (
    ActionKind,
    AlertKind,
    Anchor,
    Channel,
    Date,
    EventKind,
    Festival,
    OfferKind,
    Period,
    Purpose,
    Recommend,
    Status,
    Target,
)

DEFAULT_AT: Final = "10:00"
"""When calendars ask: late enough not to wake anybody, early enough to be of use on the day."""
_UNITS_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_DURATION = r"^[1-9][0-9]{0,4}[smhdw]$"
_TIME_OF_DAY = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
_WORDS = r"^[a-z0-9]+(-[a-z0-9]+)*$"

Duration = Annotated[str, Meta(pattern=_DURATION, title="a duration such as 90s, 15m, 2h, 3d or 2w")]
TimeOfDay = Annotated[str, Meta(pattern=_TIME_OF_DAY, title="a time of day such as 09:30")]
Words = Annotated[str, Meta(pattern=_WORDS, max_length=64, title="lower-case words joined by dashes")]
Channels = Channel | Annotated[list[Channel], Meta(min_length=1)]
"""One channel, or several that are chosen from for each customer."""
Sentence = Annotated[str, Meta(min_length=1, max_length=300, title="one sentence")]


class When(msgspec.Struct, forbid_unknown_fields=True):
    """What makes Winback ask the rule: exactly one of an event, a silence, a time before, an alert, a day of the calendar."""

    event: (
        Annotated[
            EventKind | Annotated[list[EventKind], Meta(min_length=1)],
            Meta(description="ask at every event of this kind, or of any of these"),
        ]
        | UnsetType
    ) = UNSET
    since: Annotated[Anchor, Meta(description="ask when nothing newer has happened since this…")] | UnsetType = UNSET
    after: Annotated[Duration, Meta(description="…for this long")] | UnsetType = UNSET
    before: (
        Annotated[Duration, Meta(description="ask this long before… (of date and festival: whole days)")] | UnsetType
    ) = UNSET
    until: Annotated[Target, Meta(description="…this is expected of the customer")] | UnsetType = UNSET
    alert: Annotated[AlertKind, Meta(description="ask when this alert is raised")] | UnsetType = UNSET
    date: Annotated[Date, Meta(description="ask on this day of the customer's own")] | UnsetType = UNSET
    festival: (
        Annotated[
            Festival | Annotated[list[Festival], Meta(min_length=1)],
            Meta(description="ask on this festival, or on each of these"),
        ]
        | UnsetType
    ) = UNSET
    every: Annotated[Period, Meta(description="ask once in each, as long as the condition holds")] | UnsetType = UNSET
    day: (
        Annotated[
            int, Meta(ge=1, le=28, description="on this day of the month (of the quarter's first); 1 unless said")
        ]
        | UnsetType
    ) = UNSET
    at: (
        Annotated[
            TimeOfDay, Meta(description="at this time of the customer's day (date, festival, every); 10:00 unless said")
        ]
        | UnsetType
    ) = UNSET
    spread: (
        Annotated[
            Duration,
            Meta(description="spread what falls due together over this window, by customer (not for event and alert)"),
        ]
        | UnsetType
    ) = UNSET


class OfferForm(msgspec.Struct, forbid_unknown_fields=True):
    """What the customer is given."""

    kind: Annotated[OfferKind, Meta(description="what it is")]
    value: Annotated[int, Meta(ge=1, le=1_000_000_000, description="per cent, minor units or points")] | UnsetType = (
        UNSET
    )
    valid_for: Annotated[Duration, Meta(description="how long it holds after the action")] | UnsetType = UNSET
    code: Annotated[str, Meta(min_length=1, max_length=64, description="coupon code")] | UnsetType = UNSET


class Then(msgspec.Struct, forbid_unknown_fields=True):
    """What to do."""

    action: Annotated[ActionKind, Meta(description="what the message is for")]
    channel: Annotated[
        Channels, Meta(description="how it reaches the customer; of several the best for each is chosen")
    ]
    template: Annotated[Words, Meta(description="the message's name in marketing automation")]
    offer: OfferForm | UnsetType = UNSET


class StepForm(msgspec.Struct, forbid_unknown_fields=True):
    """A step of a journey: exactly one of an action, a wait, a wait for an event, a branch."""

    id: Annotated[Words, Meta(description="the step's name, which actions carry; it stays when the journey is mended")]
    send: Annotated[Then, Meta(description="what to do, as in `then`")] | UnsetType = UNSET
    wait: Annotated[Duration, Meta(description="let this pass")] | UnsetType = UNSET
    wait_for: (
        Annotated[
            EventKind | Annotated[list[EventKind], Meta(min_length=1)],
            Meta(description="wait until an event of this kind, or of any of these…"),
        ]
        | UnsetType
    ) = UNSET
    within: Annotated[Duration, Meta(description="…but no longer than this")] | UnsetType = UNSET
    branch: (
        Annotated[
            str,
            Meta(
                title="a condition such as customer.cart_open",
                description="on with `then` if this holds, else with `else`",
            ),
        ]
        | UnsetType
    ) = UNSET
    then: Annotated[Words, Meta(description="the step to go on with: the next one unless said, or end")] | UnsetType = (
        UNSET
    )
    otherwise: (
        Annotated[
            Words, Meta(description="the step to go on with when the event doesn't come or the branch doesn't hold")
        ]
        | UnsetType
    ) = msgspec.field(name="else", default=UNSET)


class VariantForm(msgspec.Struct, forbid_unknown_fields=True):
    """One way to do it; what it leaves out is as in `then`."""

    id: Annotated[Words, Meta(description="the arm of the experiment")]
    weight: Annotated[int, Meta(ge=1, le=1_000, description="its share is this over the sum of all")] = 1
    template: Annotated[Words, Meta(description="the message's name in marketing automation")] | UnsetType = UNSET
    channel: (
        Annotated[Channels, Meta(description="how it reaches the customer; of several the best for each is chosen")]
        | UnsetType
    ) = UNSET
    offer: OfferForm | UnsetType = UNSET
    cost_minor: Annotated[int, Meta(ge=0, le=1_000_000_000, description="of one action")] | UnsetType = UNSET


class MeasureForm(msgspec.Struct, forbid_unknown_fields=True):
    """How the rule's effect is measured."""

    window: Annotated[Duration, Meta(description="purchases this long after the decision are its outcome")] = "30d"
    pause_without_effect: Annotated[bool, Meta(description="hold it back once it is shown to do harm, or nothing")] = (
        False
    )
    reported: Annotated[
        Reported,
        Meta(description="conversions that are sent back by action id: count them, if also sent for the hold-out"),
    ] = "beside"


class RuleFile(msgspec.Struct, forbid_unknown_fields=True):
    """A Winback rule: when to ask, whether it applies, what to do, within which limits."""

    id: Annotated[Words, Meta(description="the file's name without .yaml")]
    version: Annotated[int, Meta(ge=1, le=1_000_000, description="raise it with every change; actions name it")]
    description: Annotated[Sentence, Meta(description="one sentence for the marketer")]
    when: When
    expires_after: Annotated[Duration, Meta(description="past this the action is worthless and is not sent")]
    then: Annotated[Then, Meta(description="what to do")] | UnsetType = UNSET
    steps: (
        Annotated[
            list[StepForm],
            Meta(min_length=1, max_length=MOST_STEPS, description="a journey: what to do one after the other"),
        ]
        | UnsetType
    ) = UNSET
    stop_on_purchase: Annotated[bool, Meta(description="a purchase after its beginning ends the journey")] = True
    stop_if: (
        Annotated[
            str,
            Meta(
                title="a condition such as customer.cart_open",
                description="ends the journey where it holds when a step's time has come",
            ),
        ]
        | UnsetType
    ) = UNSET
    condition: (
        Annotated[
            str,
            Meta(
                title="a condition such as customer.cart_open (none at all: always)",
                description="must hold, in the condition language of docs/rules.md",
            ),
        ]
        | UnsetType
    ) = msgspec.field(name="if", default=UNSET)
    source: Annotated[str, Meta(max_length=100, description="where the rule comes from")] = ""
    priority: Annotated[int, Meta(ge=0, le=100, description="higher goes first")] = 50
    cooldown: Annotated[Duration, Meta(description="not twice to a customer within this")] | UnsetType = UNSET
    cap: Annotated[bool, Meta(description="counts towards and respects the customer's frequency cap")] = True
    rearm: Annotated[int, Meta(ge=0, le=1_000_000, description="raise it to let the same customers have it again")] = 0
    group: (
        Annotated[Words, Meta(description="what caps by group count it under; its action unless said")] | UnsetType
    ) = UNSET
    contest: (
        Annotated[Words, Meta(description="of the rules of one contest only the first in priority goes out at a time")]
        | UnsetType
    ) = UNSET
    purpose: Annotated[Purpose, Meta(description="what consent is asked for")] = "marketing"
    quiet_hours: Annotated[bool, Meta(description="waits for their end on channels that ring")] = True
    cost_minor: Annotated[int, Meta(ge=0, le=1_000_000_000, description="of one action, for the budget")] = 0
    recommend: (
        Annotated[Recommend, Meta(description="the product it names: together (goes with the event's), next (best)")]
        | UnsetType
    ) = UNSET
    max_per_minute: (
        Annotated[int, Meta(ge=1, description="after so many in a minute the rule is held back a while")] | UnsetType
    ) = UNSET
    variants: (
        Annotated[
            list[VariantForm],
            Meta(min_length=2, max_length=MOST_VARIANTS, description="ways to do it, compared with each other"),
        ]
        | UnsetType
    ) = UNSET
    holdout_percent: Annotated[
        float, Meta(ge=0, le=50, description="customers who are left alone, to compare with")
    ] = 0.0
    salt: Annotated[str, Meta(max_length=64, description="change it to draw all groups anew")] = ""
    choose: Annotated[Choose, Meta(description="split: by weight; bandit: more and more of what works")] = "split"
    measure: MeasureForm | UnsetType = UNSET
    status: Annotated[Status, Meta(description="dry_run: decides, and nothing goes out")] = "live"


def duration_ms(text: str) -> int:
    """A duration in milliseconds.

    >>> duration_ms("2h"), duration_ms("1w") == 7 * duration_ms("1d")
    (7200000, True)
    """
    return int(text[:-1]) * _UNITS_MS[text[-1]]


def duration_text(milliseconds: int) -> str:
    """A duration as a rule file would have it, in the largest unit that leaves no rest; weeks are shown as days.

    >>> duration_text(7_200_000), duration_text(duration_ms("26w"))
    ('2h', '182d')
    """
    unit = next(unit for unit in "dhms" if milliseconds % _UNITS_MS[unit] == 0)
    return f"{milliseconds // _UNITS_MS[unit]}{unit}"


def is_duration(value: object) -> bool:
    """Whether a value of a file can be given to `duration_ms`."""
    return isinstance(value, str) and bool(re.fullmatch(_DURATION.strip("^$"), value))


def is_time_of_day(value: object) -> bool:
    """Whether a value of a file can be given to `minute_of`."""
    return isinstance(value, str) and bool(re.fullmatch(_TIME_OF_DAY.strip("^$"), value))


def minute_of(text: str) -> int:
    """Minutes since midnight.

    >>> minute_of("09:30")
    570
    """
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def minute_text(minute: int) -> str:
    """As a rule file would have it."""
    return f"{minute // 60:02}:{minute % 60:02}"


def is_words(value: str) -> bool:
    """Whether a text can be an id: lower-case words joined by dashes."""
    return bool(re.fullmatch(_WORDS.strip("^$"), value))


def rule_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a rule file."""
    (reference,), definitions = msgspec.json.schema_components([RuleFile], ref_template="#/$defs/{name}")
    when = definitions["When"]
    when["oneOf"] = [
        {"required": [*names]}
        for names in (
            ("event",),
            ("since", "after"),
            ("before", "until"),
            ("alert",),
            ("date",),
            ("festival",),
            ("every",),
        )
    ]
    when["dependentRequired"] = {"since": ["after"], "after": ["since"], "until": ["before"]}
    step = definitions["StepForm"]
    step["oneOf"] = [{"required": [name]} for name in ("send", "wait", "wait_for", "branch")]
    step["dependentRequired"] = {"wait_for": ["within"], "within": ["wait_for"]}
    top = definitions.pop(reference["$ref"].rpartition("/")[2])
    top["oneOf"] = [{"required": ["then"]}, {"required": ["steps"]}]
    for definition in definitions.values():
        del definition["title"]  # the Struct's name, which says nothing to a marketer
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **top,
        "title": "Winback rule",
        "$defs": definitions,
    }


def make_rule(form: RuleFile, condition: Condition, journey: Journey | None = None) -> Rule:
    """The rule that a valid file describes. A journey is described by its first action."""
    then = form.then or next(step.send for step in form.steps or () if step.send)
    assert isinstance(then, Then)
    return Rule(
        id=form.id,
        version=form.version,
        description=form.description,
        source=form.source,
        trigger=_trigger(form.when),
        condition=condition,
        action=then.action,
        channel=first_of(then.channel),
        channels=several(then.channel),
        template=then.template,
        offer=make_offer(then.offer) if then.offer else None,
        priority=form.priority,
        expires_after_ms=duration_ms(form.expires_after),
        cooldown_ms=duration_ms(form.cooldown) if form.cooldown else 0,
        cap=form.cap,
        rearm=form.rearm,
        group=form.group or then.action,
        contest=form.contest or "",
        purpose=form.purpose,
        quiet_hours=form.quiet_hours,
        cost_minor=form.cost_minor,
        recommend=form.recommend or "",
        max_per_minute=form.max_per_minute or 0,
        dry_run=form.status == "dry_run",
        experiment=_experiment(form, then),
        journey=journey,
    )


def _experiment(form: RuleFile, then: Then) -> Experiment:
    measure = form.measure or MeasureForm()
    is_measured = bool(form.measure or form.variants or form.holdout_percent)
    return Experiment(
        variants=tuple(
            Variant(
                id=v.id,
                weight=v.weight,
                template=v.template or then.template,
                channel=first_of(v.channel or then.channel),
                channels=several(v.channel or then.channel),
                offer=make_offer(v.offer or then.offer) if v.offer or then.offer else None,  # type: ignore[arg-type]
                cost_minor=form.cost_minor if v.cost_minor is UNSET else v.cost_minor,
            )
            for v in form.variants or ()
        ),
        holdout_share=form.holdout_percent / 100,
        salt=form.salt,
        choose=form.choose,
        window_ms=duration_ms(measure.window) if is_measured else 0,
        pause_without_effect=measure.pause_without_effect,
        counts_reported=measure.reported == "count",
    )


def _trigger(when: When) -> Trigger:
    spread_ms = duration_ms(when.spread) if when.spread else None
    if when.event:
        kinds: Sequence[EventKind] = when.event if isinstance(when.event, list) else [when.event]
        return OnEvent(tuple(dict.fromkeys(kinds)))
    if when.since and when.after:
        return Since(when.since, duration_ms(when.after), spread_ms)
    if when.until and when.before:
        return Before(when.until, duration_ms(when.before), spread_ms)
    if when.alert:
        return OnAlert(when.alert)
    before_days = duration_ms(when.before) // DAY_MS if when.before else 0
    minute = minute_of(when.at or DEFAULT_AT)
    if when.date:
        return OnDate(when.date, before_days, minute, spread_ms)
    if when.festival:
        festivals: Sequence[Festival] = when.festival if isinstance(when.festival, list) else [when.festival]
        return OnFestival(tuple(dict.fromkeys(festivals)), before_days, minute, spread_ms)
    if when.every:
        return Every(when.every, when.day or 1, minute, spread_ms)
    raise AssertionError("the schema lets no other trigger pass")


def first_of(channel: Channels) -> Channel:
    """The one channel, or the first of several."""
    return channel[0] if isinstance(channel, list) else channel


def several(channel: Channels) -> tuple[Channel, ...]:
    """The channels to choose from; none when there is one only.

    >>> several("sms"), several(["sms"]), several(["push", "sms"])
    ((), (), ('push', 'sms'))
    """
    return tuple(channel) if isinstance(channel, list) and len(channel) > 1 else ()


def make_offer(form: OfferForm) -> Offer:
    """The offer that a valid form describes."""
    return Offer(
        kind=form.kind,
        value=form.value or 0,
        valid_for_ms=duration_ms(form.valid_for) if form.valid_for else 0,
        code=form.code or "",
    )
