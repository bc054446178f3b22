"""From rule files to a `RuleSet`, or to every mistake in every file at once.

`load_rules` reads a folder; `parse_rules` works on text and touches no disk. A mistake reads
``file:line:column: what is wrong: offending text; did you mean …?``, which editors and terminals make clickable.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterable, Mapping
from importlib.resources.abc import Traversable
from pathlib import Path, PurePath
from typing import Any, Final

import msgspec

from stream.config import Settings
from stream.errors import RuleFileError
from stream.rules.condition import Condition, InvalidCondition, compile_condition
from stream.rules.experiment import CONTROL, DEFAULT
from stream.rules.journey_file import check_journey, make_journey, sent_offers
from stream.rules.rule import DAY_MS, Rule, RuleSet
from stream.rules.rule_file import RuleFile, duration_ms, is_duration, is_words, make_rule
from stream.rules.shape import misshapen
from stream.rules.source import Document, Mistake
from stream.rules.vocabulary import EVENT_KINDS

_TAKEN: Final = frozenset((CONTROL, DEFAULT))
_ALWAYS: Final = "true"
_CALENDARS: Final = frozenset(("date", "festival", "every"))
_OF_CALENDARS: Final[Mapping[str, frozenset[str]]] = {
    "at": _CALENDARS,
    "day": frozenset(("every",)),
    "before": frozenset(("date", "festival")),
}
"""Keys that belong to some of the calendar triggers."""
_DEFAULT_SPREAD_MS: Final[int] = Settings().timer_spread_ms


def load_rules(directory: str | Path = "") -> RuleSet:
    """The rules of a folder (every ``*.yaml`` in it); without one, the library that comes with Winback.

    Raises `RuleFileError` with all mistakes of all files.

    >>> load_rules().by_id["cart-abandoned"].trigger.anchor
    'cart_changed'
    """
    if not directory:
        return parse_rules(_read(importlib.resources.files("stream.rules").joinpath("library"), "library"))
    folder = Path(directory)
    if not folder.is_dir():
        raise RuleFileError([f"{folder}:1:1: no such folder"])
    return parse_rules(_read(folder, str(folder)))


def read_rules(directory: str | Path) -> dict[str, str]:
    """File name → text of the rules of a folder, unchecked."""
    found = _read(Path(directory), "")
    return {name.removeprefix("/"): content.decode("utf-8", "replace") for name, content in found.items()}


def _read(folder: Traversable, shown: str) -> dict[str, bytes]:
    """The only place that touches the disk: file name as shown to people → content."""
    found = sorted(
        (entry for entry in folder.iterdir() if not entry.name.startswith(".")), key=lambda entry: entry.name
    )
    wrong = [
        f"{shown}/{e.name}:1:1: rule files end in .yaml: {e.name}" for e in found if e.name.lower().endswith(".yml")
    ]
    if wrong:
        raise RuleFileError(wrong)
    files = {f"{shown}/{e.name}": e.read_bytes() for e in found if e.name.endswith(".yaml") and e.is_file()}
    if not files:
        raise RuleFileError([f"{shown}:1:1: no rule files (*.yaml) in this folder"])
    return files


def parse_rules(files: Mapping[str, str | bytes]) -> RuleSet:
    """The rules in these files (name → content); raises `RuleFileError` with every mistake."""
    parsed = [_File(name, content) for name, content in sorted(files.items())]
    first: dict[str, _File] = {}
    for file in parsed:
        if file.id in first:
            file.mistake(("id",), "this id is taken", f"{file.id} (also in {first[file.id].name})")
        elif file.id:
            first[file.id] = file
    problems = [line for file in parsed for line in file.problems()]
    if problems:
        raise RuleFileError(problems)
    return RuleSet(file.rule() for file in parsed)


class _File:
    """One file on its way to a rule: the shape is checked first, then what the parts mean, whatever else is wrong."""

    def __init__(self, name: str, content: str | bytes) -> None:
        self.name = name
        self.found: list[Mistake] = []
        self.condition: Condition | None = None
        self.conditions: dict[int | str, Condition] = {}
        try:
            text = content if isinstance(content, str) else content.decode("utf-8")
        except UnicodeDecodeError as error:
            text = ""
            self.found.append(Mistake(0, f"not UTF-8 (byte {error.start + 1})"))
        # A Windows line end counts as one character for YAML and as none for the eye.
        self.document = Document(text.removeprefix("\ufeff").replace("\r\n", "\n"))
        if not self.found:
            self.found += self.document.mistakes
        self.data: dict[str, Any] = self.document.data if isinstance(self.document.data, dict) else {}
        self.id = self._text("id")
        if self.document.data is not None:
            unreadable = {mistake.at for mistake in self.found}
            before, self.found = self.found, []
            self._check()
            self.found = before + [mistake for mistake in self.found if mistake.at not in unreadable]

    def mistake(self, path: Iterable[str | int], message: str, offending: object = "", suggestion: str = "") -> None:
        """Note a mistake at the value of a path."""
        self.found.append(Mistake(self.document.value_at(tuple(path)), message, str(offending), suggestion))

    def key_mistake(self, path: tuple[str | int, ...], message: str) -> None:
        """Note a mistake at a key."""
        self.found.append(Mistake(self.document.key_at(path), message, str(path[-1])))

    def problems(self) -> list[str]:
        """All mistakes in the order of the file, one line each."""
        lines = []
        for mistake in sorted(set(self.found)):
            line, column = self.document.line_column(mistake.at)
            shown = " ".join(mistake.offending.split())
            offending = f": {shown[:80]}" if shown else ""
            hint = f"; did you mean {mistake.suggestion}?" if mistake.suggestion else ""
            lines.append(f"{self.name}:{line}:{column}: {mistake.message}{offending}{hint}")
        return lines

    def rule(self) -> Rule:
        """The rule; only for a file without mistakes."""
        condition = self.condition or compile_condition(_ALWAYS)
        form = msgspec.convert(self.data, RuleFile)
        return make_rule(form, condition, make_journey(form, self.conditions))

    # -- what the file means

    def _check(self) -> None:
        self.found += misshapen(self.document)
        stem = PurePath(self.name).name.removesuffix(".yaml")
        if is_words(self.id) and self.id != stem:
            self.mistake(("id",), f"the id must be the file's name, {stem}", self.id)
        if isinstance(self.data.get("if"), str):
            self.condition = self._compiled(("if",))
        self.conditions = check_journey(self.data, self.mistake, self._compiled)
        self._check_times()
        for path in sent_offers(self.data):
            self._check_offer(path)
            self._check_channels(path)
        self._check_experiment()

    def _compiled(self, path: tuple[str | int, ...]) -> Condition | None:
        """The condition at a path, ``None`` after noting what is wrong with it."""
        text: Any = self.data
        for key in path:
            text = text[key]
        try:
            return compile_condition(text, self._kinds())
        except InvalidCondition as error:
            for problem in error.problems:
                at = self.document.inside(path, problem.start)
                self.found.append(Mistake(at, problem.message, text[problem.start : problem.end], problem.suggestion))
            return None

    def _kinds(self) -> list[str] | None:
        """The event kinds that trigger the rule; ``None`` while that isn't clear."""
        when = self._mapping("when")
        event = when.get("event")
        if event is None:
            return [] if when.keys() & {"since", "before", "alert", *_CALENDARS} else None
        kinds = event if isinstance(event, list) else [event]
        return kinds if kinds and all(kind in EVENT_KINDS for kind in kinds) else None

    def _check_times(self) -> None:
        when = self._mapping("when")
        spread, expires = when.get("spread"), self.data.get("expires_after")
        if spread is not None and when.keys() & {"event", "alert"}:
            self.mistake(("when", "spread"), "what answers an event or an alert can't be spread", spread)
        self._check_calendar(when)
        if not is_duration(expires):
            return
        distance = when.get("after", when.get("before"))
        if is_duration(spread):
            spread_ms = duration_ms(str(spread))
        else:
            by_days = is_duration(distance) and duration_ms(str(distance)) >= DAY_MS
            spread_ms = _DEFAULT_SPREAD_MS if by_days or when.keys() & _CALENDARS else 0
        if duration_ms(str(expires)) <= spread_ms:
            shown = spread if is_duration(spread) else "1h, the default for triggers that count in days"
            self.mistake(("expires_after",), f"expires before all of it has fired (spread over {shown})", expires)
        before = when.get("before")
        if is_duration(before) and duration_ms(str(expires)) > duration_ms(str(before)):
            self.mistake(("expires_after",), f"would still be sent after the moment it comes {before} before", expires)

    def _check_calendar(self, when: Mapping[str, Any]) -> None:
        calendars = when.keys() & _CALENDARS
        before, spread = when.get("before"), when.get("spread")
        if before is not None and not calendars and "until" not in when:
            self.key_mistake(("when", "before"), "needs `until:`, `date:` or `festival:` beside it")
        for key, owners in _OF_CALENDARS.items():
            if key in when and not calendars & owners and (calendars or key != "before"):
                wanted = " or ".join(f"`{owner}:`" for owner in sorted(owners))
                self.key_mistake(("when", key), f"goes with {wanted} only")
        if calendars and is_duration(before) and duration_ms(str(before)) % DAY_MS:
            self.mistake(("when", "before"), "a calendar counts in whole days, such as 3d or 2w", before)
        if calendars and is_duration(spread) and duration_ms(str(spread)) > DAY_MS:
            self.mistake(("when", "spread"), "would go on into another day; at most 1d", spread)

    def _check_offer(self, path: tuple[str | int, ...]) -> None:
        then: Any = self.data
        for key in path:
            then = then[key] if isinstance(key, int) else then.get(key)
        if not isinstance(then, dict):
            return
        offer = then.get("offer")
        if then.get("action") == "offer" and offer is None:
            self.mistake((*path, "action"), "an offer action needs `offer:` beside it", "offer")
        if not isinstance(offer, dict):
            return
        kind, value = offer.get("kind"), offer.get("value")
        if kind == "free_shipping" and value is not None:
            self.mistake((*path, "offer", "value"), "free_shipping has no value", value)
        elif kind in ("percent", "amount_minor", "points") and value is None:
            self.mistake((*path, "offer", "kind"), "needs `value:` beside it", kind)
        elif kind == "percent" and isinstance(value, int) and value > 100:
            self.mistake((*path, "offer", "value"), "more than 100 per cent", value)

    def _check_channels(self, path: tuple[str | int, ...]) -> None:
        """Several channels have to be different ones that reach somebody."""
        form: Any = self.data
        for key in path:
            form = form[key] if isinstance(key, int) else form.get(key)
        named = form.get("channel") if isinstance(form, dict) else None
        for number, channel in enumerate(named if isinstance(named, list) else ()):
            if channel in named[:number]:  # type: ignore[index]
                self.mistake((*path, "channel", number), "this channel is named twice", channel)
            elif channel == "none" and len(named) > 1:  # type: ignore[arg-type]
                self.mistake((*path, "channel", number), "reaches nobody, so there is nothing to choose", "none")

    def _check_experiment(self) -> None:
        variants = self.data.get("variants")
        known: set[str] = set()
        for number, variant in enumerate(variants if isinstance(variants, list) else ()):
            name = variant.get("id") if isinstance(variant, dict) else None
            self._check_channels(("variants", number))
            if name in _TAKEN:
                self.mistake(("variants", number, "id"), "this name is taken by those without a variant", name)
            elif name in known:
                self.mistake(("variants", number, "id"), "there is a variant of this name already", name)
            elif isinstance(name, str):
                known.add(name)
        if self.data.get("choose") == "bandit" and not variants:
            self.mistake(("choose",), "a bandit needs `variants:` to choose from", "bandit")
        measure = self._mapping("measure")
        if measure.get("pause_without_effect") is True and not self.data.get("holdout_percent"):
            self.mistake(
                ("measure", "pause_without_effect"),
                "an effect shows only beside a hold-out (`holdout_percent:`)",
                "true",
            )

    def _text(self, key: str) -> str:
        value = self.data.get(key)
        return value if isinstance(value, str) else ""

    def _mapping(self, key: str) -> dict[str, Any]:
        value = self.data.get(key)
        return value if isinstance(value, dict) else {}
