"""The form of a journey in a rule file, what it has to make sense of, and the journey that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from stream.rules.condition import Condition
from stream.rules.journey import END, LONGEST_DAYS, Branch, Journey, Send, Step, Wait, WaitFor
from stream.rules.rule import DAY_MS
from stream.rules.rule_file import (
    OfferForm,
    RuleFile,
    StepForm,
    duration_ms,
    first_of,
    is_duration,
    make_offer,
    several,
)
from stream.rules.vocabulary import closest

Path = tuple[str | int, ...]
Compile = Callable[[Path], Condition | None]
"""Compiles the condition at a place of the file."""
Tell = Callable[[Path, str, object, str], None]
"""Notes a mistake: where, what, the offending text, what was meant."""

_KINDS: Final = ("send", "wait", "wait_for", "branch")
_FORKS: Final = ("wait_for", "branch")
_ALONE: Final[Mapping[str, str]] = {
    "variants": "a journey has no variants yet; its hold-out (`holdout_percent:`) is for the whole of it",
    "contest": "a journey competes with nobody, its steps come when they come",
}
"""Keys that mean nothing beside `steps:`."""


def check_journey(data: Mapping[str, Any], tell: Tell, compiled: Compile) -> dict[int | str, Condition]:
    """Tells of every mistake in the steps of a file; returns the conditions by number of the step, `stop_if` by its name."""
    conditions: dict[int | str, Condition] = {}
    steps = data.get("steps")
    if steps is None:
        for key in ("stop_on_purchase", "stop_if"):
            if key in data:
                tell((key,), "only a journey can stop, a rule with `steps:`", data[key], "")
        return conditions
    for key, why in _ALONE.items():
        if key in data:
            tell((key,), why, data[key] if isinstance(data[key], str) else "", "")
    if isinstance(data.get("stop_if"), str) and (condition := compiled(("stop_if",))):
        conditions["stop_if"] = condition
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        return conditions
    for number, step in enumerate(steps):
        if isinstance(step.get("branch"), str) and (condition := compiled(("steps", number, "branch"))):
            conditions[number] = condition
        if data.get("stop_on_purchase", True) is True and "purchase" in _listed(step.get("wait_for")):
            at = ("steps", number, "wait_for")
            tell(at, "a purchase ends the journey first, unless `stop_on_purchase: false`", "purchase", "")
    _check_ways(steps, tell)
    return conditions


def _check_ways(steps: Sequence[Mapping[str, Any]], tell: Tell) -> None:
    ids = [step.get("id") for step in steps]
    if not any("send" in step for step in steps):
        tell(("steps",), "nothing is ever sent: at least one step needs `send:`", "", "")
    reached = {0}
    longest_ms = [0] * (len(steps) + 1)
    is_whole = True
    for number, (step, name) in enumerate(zip(steps, ids, strict=True)):
        if name == END:
            tell(("steps", number, "id"), "this name stands for the end of the journey", name, "")
        elif name is not None and name in ids[:number]:
            tell(("steps", number, "id"), "there is a step of this name already", name, "")
        if number not in reached and is_whole:
            tell(("steps", number, "id"), "no step leads here", name, "")
        if "else" in step and not any(kind in step for kind in _FORKS):
            tell(("steps", number, "else"), "only `wait_for` and `branch` have another way", step["else"], "")
        lasts_ms = longest_ms[number] + sum(
            duration_ms(step[key]) for key in ("wait", "within") if is_duration(step.get(key))
        )
        if lasts_ms > LONGEST_DAYS * DAY_MS >= longest_ms[number]:
            key = "wait" if "wait" in step else "within"
            tell(("steps", number, key), f"by now it may last longer than {LONGEST_DAYS} days", step[key], "")
        keys = ("then", "else") if any(kind in step for kind in _FORKS) else ("then",)
        for key in keys:
            target = _target(steps, number, key, tell)
            is_whole &= target is not None
            if target is not None:
                reached.add(target)
                longest_ms[target] = max(longest_ms[target], lasts_ms)


def _target(steps: Sequence[Mapping[str, Any]], number: int, key: str, tell: Tell) -> int | None:
    """The number of the step that a key leads to; ``None`` after telling what is wrong with it."""
    name = steps[number].get(key)
    if name is None:
        return number + 1
    if name == END:
        return len(steps)
    ids = [step.get("id") for step in steps]
    if name in ids[number + 1 :]:
        return ids.index(name, number + 1)
    if name in ids:
        tell(("steps", number, key), "a journey only leads forward, to a later step", name, "")
    else:
        known = [known for known in (*ids[number + 1 :], END) if isinstance(known, str)]
        tell(("steps", number, key), "there is no such step", name, closest(str(name), known))
    return None


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else (value,)


def sent_offers(data: Mapping[str, Any]) -> Iterator[Path]:
    """Where a file says what to do."""
    yield ("then",)
    steps = data.get("steps")
    for number, step in enumerate(steps if isinstance(steps, list) else ()):
        if isinstance(step, dict) and isinstance(step.get("send"), dict):
            yield ("steps", number, "send")


def make_journey(form: RuleFile, conditions: Mapping[int | str, Condition]) -> Journey | None:
    """The journey of a valid file."""
    if not form.steps:
        return None
    names = [*(step.id for step in form.steps), END]
    return Journey(
        tuple(_step(step, names[n + 1], conditions.get(n)) for n, step in enumerate(form.steps)),
        form.stop_on_purchase,
        conditions.get("stop_if"),
    )


def _step(form: StepForm, following: str, condition: Condition | None) -> Step:
    then = form.then or following
    if form.send:
        offer = make_offer(form.send.offer) if isinstance(form.send.offer, OfferForm) else None
        send = form.send
        return Send(
            id=form.id,
            action=send.action,
            channel=first_of(send.channel),
            channels=several(send.channel),
            template=send.template,
            offer=offer,
            then=then,
        )
    if form.wait:
        return Wait(id=form.id, for_ms=duration_ms(form.wait), then=then)
    otherwise = form.otherwise or following
    if condition is not None:
        return Branch(id=form.id, condition=condition, then=then, otherwise=otherwise)
    kinds: Iterable[Any] = form.wait_for if isinstance(form.wait_for, list) else [form.wait_for]
    within_ms = duration_ms(form.within or "")
    return WaitFor(id=form.id, kinds=tuple(dict.fromkeys(kinds)), within_ms=within_ms, then=then, otherwise=otherwise)
