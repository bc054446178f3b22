"""Rule files: what good ones become, and that every mistake in bad ones is said at once, with its place."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.errors import RuleFileError
from stream.rules.loader import load_rules, parse_rules
from stream.rules.offer import Offer
from stream.rules.rule import Before, Every, OnAlert, OnDate, OnEvent, OnFestival, Since

LIBRARY = Path(__file__).parents[2] / "stream" / "rules" / "library"

GOOD = """\
id: cart
version: 2
description: Remind of a cart.
when:
  since: cart_changed
  after: 2h
if: customer.cart_open
then:
  action: reminder
  channel: email
  template: cart
expires_after: 2d
"""


def mistakes(*texts: str, name: str = "cart.yaml") -> list[str]:
    """What is said about these files; the second one is called ``cart2.yaml``, and so on."""
    files = {name if i == 0 else f"cart{i + 1}.yaml": text for i, text in enumerate(texts)}
    with pytest.raises(RuleFileError) as caught:
        parse_rules(files)
    return list(caught.value.problems)


def changed(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new)


def test_a_file_becomes_a_rule_with_defaults() -> None:
    """What isn't written has the documented default."""
    (rule,) = parse_rules({"cart.yaml": GOOD}).rules

    assert ("cart", 2, "reminder", "email", "cart") == (rule.id, rule.version, rule.action, rule.channel, rule.template)
    assert Since("cart_changed", 7_200_000, None) == rule.trigger
    assert (50, 172_800_000, 0, True, 0) == (
        rule.priority,
        rule.expires_after_ms,
        rule.cooldown_ms,
        rule.cap,
        rule.rearm,
    )
    assert "customer.cart_open" == rule.condition.text
    assert rule.offer is None


def test_every_trigger_and_offer_is_read() -> None:
    """All triggers, with their optional parts, and an offer."""
    then = "  template: cart\n  offer: {kind: percent, value: 10, valid_for: 1d, code: TEN}\n"
    text = changed("  template: cart\n", then)
    silence = "  since: cart_changed\n  after: 2h\n"
    rules = {
        trigger: parse_rules({"cart.yaml": text.replace(silence, f"  {trigger}\n")}).rules[0]
        for trigger in (
            "event: purchase",
            "event: [nps, csat, nps]",
            "alert: churn",
            "before: 3d\n  until: expected_purchase\n  spread: 6h",
            "date: birthday\n  before: 1w\n  at: 09:30",
            "festival: qixi",
            "festival: [christmas, easter, christmas]\n  before: 3d\n  spread: 1h",
            "every: quarter",
            "every: month\n  day: 28\n  at: 23:59",
        )
    }

    assert [
        OnEvent(("purchase",)),
        OnEvent(("nps", "csat")),
        OnAlert("churn"),
        Before("expected_purchase", 259_200_000, 21_600_000),
        OnDate("birthday", 7, 570),
        OnFestival(("qixi",), 0, 600),
        OnFestival(("christmas", "easter"), 3, 600, 3_600_000),
        Every("quarter", 1, 600),
        Every("month", 28, 1_439),
    ] == [rule.trigger for rule in rules.values()]
    assert Offer("percent", 10, 86_400_000, "TEN") == rules["alert: churn"].offer


def test_without_a_condition_a_rule_always_applies() -> None:
    """`if` may be left out."""
    (rule,) = parse_rules({"cart.yaml": changed("if: customer.cart_open\n", "")}).rules

    assert rule.condition.holds(None, None, None) is True
    assert [] == rule.condition.matched(None, None, None)


def test_rules_are_indexed_by_trigger_in_order_of_priority() -> None:
    """The engine finds them without a search, the most important first; the version tells rule sets apart."""
    silence = "  since: cart_changed\n  after: 2h\n"
    texts = {"a": ("event: nps", 1), "b": ("event: [nps, csat]", 9), "c": ("event: csat", 1), "d": ("alert: churn", 1)}
    files = {
        f"{name}.yaml": GOOD.replace("id: cart", f"id: {name}").replace(silence, f"  {when}\n")
        + f"priority: {priority}\n"
        for name, (when, priority) in texts.items()
    }
    rules = parse_rules(files)
    commented = {name: f"# a comment\n{text}" for name, text in reversed(files.items())}

    assert ["b", "a"] == [rule.id for rule in rules.on_event["nps"]]
    assert ["b", "c"] == [rule.id for rule in rules.on_event["csat"]]
    assert ["d"] == [rule.id for rule in rules.on_alert["churn"]]
    assert rules.version == parse_rules(commented).version
    assert rules.version != parse_rules({**files, "a.yaml": files["a.yaml"].replace("email", "sms")}).version


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("id: cart", "id: Cart", "1:5: must be lower-case words joined by dashes: Cart"),
        ("version: 2", "version: 2.0", "2:10: must be a whole number: 2.0"),
        ("version: 2", "version: 0", "2:10: must be between 1 and 1000000: 0"),
        ("version: 2\n", "", "1:1: missing: version"),
        ("description: Remind of a cart.", "description: ''", "3:14: must be longer: it is empty"),
        ("description:", "descripton:", "3:1: unknown key: descripton; did you mean description?"),
        ("after: 2h", "after: 2 hours", "6:10: must be a duration such as 90s, 15m, 2h, 3d or 2w: 2 hours"),
        ("after: 2h", "after: 1:30", "6:10: must be a duration such as 90s, 15m, 2h, 3d or 2w: 1:30"),
        ("after: 2h", 'after: "2h\\n"', "6:10: must be a duration such as 90s, 15m, 2h, 3d or 2w: 2h"),
        ("after: 2h", "after:", "6:9: nothing is written here; take the line out or give it a value"),
        ("  after: 2h\n", "", "5:3: needs `after:` beside it: since"),
        ("since: cart_changed", "since: cart_change", "5:10: unknown: cart_change; did you mean cart_changed?"),
        ("since: cart_changed\n  after: 2h", "event: Order Completed", "5:10: unknown: Order Completed; did you mean purchase?"),
        ("since: cart_changed\n  after: 2h", "event: [nps, cast]", "5:16: unknown: cast; did you mean csat?"),
        ("since: cart_changed\n  after: 2h", "event: []", "5:10: must be longer: it is empty"),
        ("  after: 2h", "  after: 2h\n  alert: churn",
         "5:3: needs exactly one of `event`; `since` with `after`; `before` with `until`; `alert`; `date`; `festival`; `every`: since, after, alert"),
        ("since: cart_changed\n  after: 2h", "spread: 1h",
         "5:3: needs exactly one of `event`; `since` with `after`; `before` with `until`; `alert`; `date`; `festival`; `every`: spread"),
        ("if: customer.cart_open", "if: customer.cart_opn", "7:5: unknown variable: customer.cart_opn; did you mean customer.cart_open?"),
        ("if: customer.cart_open", "if: !customer.cart_open",
         "7:5: YAML takes a ! at the start for a tag; put the whole text in quotes: !customer.cart_open"),
        ("if: customer.cart_open", "if: customer.cart_open ? true : false",
         "7:31: a second colon in the line; put the value in quotes, or indent the line rightly: : false"),
        ("if: customer.cart_open", "if: true", "7:5: must be a condition such as customer.cart_open (none at all: always): true"),
        ("if: customer.cart_open", "if: event.nps > 6", "7:5: this rule is not triggered by an event, so there is none to ask: event.nps"),
        ("channel: email", "channel: e-mail", "10:12: unknown: e-mail; did you mean email?"),
        ("channel: email", "channel: [push, e-mail]", "10:19: unknown: e-mail; did you mean email?"),
        ("channel: email", "channel: [push, sms, push]", "10:24: this channel is named twice: push"),
        ("channel: email", "channel: [push, none]", "10:19: reaches nobody, so there is nothing to choose: none"),
        ("channel: email", "channel: []", "10:12: must be longer: it is empty"),
        ("channel: email", "channel: no", "10:12: unknown: no; did you mean none?"),
        ("channel: email", "channel: email\n  channel: sms", "11:3: this key is there twice: channel"),
        ("action: reminder", "action: offer", "9:11: an offer action needs `offer:` beside it: offer"),
        ("template: cart", "template: cart\n  offer: {kind: percent}", "12:17: needs `value:` beside it: percent"),
        ("template: cart", "template: cart\n  offer: {kind: percent, value: 110}", "12:33: more than 100 per cent: 110"),
        ("template: cart", "template: cart\n  offer: {kind: free_shipping, value: 1}", "12:39: free_shipping has no value: 1"),
        ("template: cart", "template: cart\n  offer: 10%", "12:10: must be a mapping (indented `key: value` lines): 10%"),
        ("expires_after: 2d", "expires_after: 2d\npriority: high", "13:11: must be a whole number: high"),
        ("expires_after: 2d", "expires_after: 2d\ncap: 'yes'", "13:6: must be true or false: yes"),
        ("after: 2h", "after: 60d\n  spread: 2d", "13:16: expires before all of it has fired (spread over 2d): 2d"),
        ("since: cart_changed\n  after: 2h", "before: 1d\n  until: expected_purchase",
         "12:16: would still be sent after the moment it comes 1d before: 2d"),
        ("since: cart_changed\n  after: 2h", "alert: churn\n  spread: 1h", "6:11: what answers an event or an alert can't be spread: 1h"),
        ("since: cart_changed\n  after: 2h", "date: birthdy", "5:9: unknown: birthdy; did you mean birthday?"),
        ("since: cart_changed\n  after: 2h", "festival: christmass", "5:13: unknown: christmass; did you mean christmas?"),
        ("since: cart_changed\n  after: 2h", "festival: [qixi, valentine]", "5:20: unknown: valentine; did you mean valentines?"),
        ("since: cart_changed\n  after: 2h", "festival: []", "5:13: must be longer: it is empty"),
        ("since: cart_changed\n  after: 2h", "every: week", "5:10: must be one of month, quarter: week"),
        ("since: cart_changed\n  after: 2h", "every: month\n  day: 29", "6:8: must be between 1 and 28: 29"),
        ("since: cart_changed\n  after: 2h", "every: month\n  before: 3d", "6:3: goes with `date:` or `festival:` only: before"),
        ("since: cart_changed\n  after: 2h", "date: birthday\n  day: 3", "6:3: goes with `every:` only: day"),
        ("since: cart_changed\n  after: 2h", "date: birthday\n  at: 25:00", "6:7: must be a time of day such as 09:30: 25:00"),
        ("since: cart_changed\n  after: 2h", "date: birthday\n  at: 9:30", "6:7: must be a time of day such as 09:30: 9:30"),
        ("after: 2h", "after: 2h\n  at: 09:30", "7:3: goes with `date:` or `every:` or `festival:` only: at"),
        ("since: cart_changed\n  after: 2h", "date: birthday\n  before: 60h",
         "6:11: a calendar counts in whole days, such as 3d or 2w: 60h"),
        ("since: cart_changed\n  after: 2h", "date: birthday\n  spread: 36h",
         "6:11: would go on into another day; at most 1d: 36h"),
        ("since: cart_changed\n  after: 2h", "before: 3d", "5:3: needs `until:`, `date:` or `festival:` beside it: before"),
        ("since: cart_changed\n  after: 2h", "date: birthday\n  festival: qixi",
         "5:3: needs exactly one of `event`; `since` with `after`; `before` with `until`; `alert`; `date`; `festival`; `every`: date, festival"),
        ("since: cart_changed\n  after: 2h", "festival: christmas\n  before: 1d",
         "12:16: would still be sent after the moment it comes 1d before: 2d"),
        ("id: cart", "id: &x cart", None),
        ("description: Remind of a cart.", "description: &x a\nsource: *x", "4:9: aliases (*name) can't be used in rule files"),
        ("  after: 2h", "\tafter: 2h", "6:1: a tab indents; YAML wants spaces"),
        ("then:", "then", "8:1: a colon is missing after this key: then"),
        ("id: cart", "? [a]\n: b\nid: cart", "1:3: a key must be a word"),
        ("id: cart", "---\nid: cart\n---\nid: cart", "3:1: more than one document; a file holds one rule"),
        ("id: cart", "id: \x07cart", "1:5: a character that YAML doesn't allow: '\\x07'"),
        ("id: cart", 'source: "\\uD800"\nid: cart', "1:9: half a character (a lone surrogate): '\\ud800'"),
    ],
)  # fmt: skip
def test_one_mistake_is_said_once_with_its_place(old: str, new: str, said: str | None) -> None:
    """Line and column point at the offending text, and the nearest right word is proposed."""
    text = changed(old, new)
    if said is None:
        assert parse_rules({"cart.yaml": text}).rules
    else:
        assert [f"cart.yaml:{said}"] == mistakes(text)


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("if: customer.gaps > 1 && foo", "7:26"),
        ("if: 'customer.language == \"it''s\" && foo'", "7:38"),
        ('if: "customer.language == \\"a\\" && foo"', "7:36"),
        ("if: >-\n  customer.gaps > 1\n  && foo", "9:6"),
        ("if: |  # comment\n\n    customer.gaps > 1 &&\n      foo", "10:7"),
        ("if: customer.gaps > 1\n  &&   foo", "8:8"),
    ],
)
def test_mistakes_in_conditions_are_placed_through_every_yaml_style(written: str, place: str) -> None:
    """However the condition is quoted, folded or indented, the position is that of the word in the file."""
    assert [f"cart.yaml:{place}: unknown name: foo"] == mistakes(changed("if: customer.cart_open", written))


def test_all_mistakes_of_all_files_are_reported_together() -> None:
    """One start tells everything there is to mend; a broken file doesn't hide another one's mistakes."""
    text = GOOD.replace("after: 2h", "after: 2 hours").replace("cart_open", "cart_opn").replace("email", "e-mail")
    found = mistakes(text, GOOD, "id: [", "- a list\n")

    assert [
        "cart.yaml:6:10: must be a duration such as 90s, 15m, 2h, 3d or 2w: 2 hours",
        "cart.yaml:7:5: unknown variable: customer.cart_opn; did you mean customer.cart_open?",
        "cart.yaml:10:12: unknown: e-mail; did you mean email?",
        "cart2.yaml:1:5: the id must be the file's name, cart2: cart",
        "cart2.yaml:1:5: this id is taken: cart (also in cart.yaml)",
        "cart3.yaml:1:6: not YAML (expected the node content, but found '<stream end>')",
        "cart4.yaml:1:1: must be a mapping (indented `key: value` lines)",
    ] == found


def test_a_folder_is_read_and_its_troubles_are_named(tmp_path: Path) -> None:
    """Missing and empty folders, `.yml` files and other encodings are mistakes, too; hidden files and others are not."""

    def said() -> list[str]:
        with pytest.raises(RuleFileError) as caught:
            load_rules(tmp_path / "rules")
        return [problem.removeprefix(str(tmp_path)) for problem in caught.value.problems]

    assert ["/rules:1:1: no such folder"] == said()
    (tmp_path / "rules").mkdir()
    assert ["/rules:1:1: no rule files (*.yaml) in this folder"] == said()
    (tmp_path / "rules" / "cart.yml").write_text(GOOD)
    assert ["/rules/cart.yml:1:1: rule files end in .yaml: cart.yml"] == said()
    (tmp_path / "rules" / "cart.yml").rename(tmp_path / "rules" / "cart.yaml")
    (tmp_path / "rules" / ".cart.yaml.swp").write_bytes(b"\xff")
    (tmp_path / "rules" / "latin.yaml").write_bytes("id: ä".encode("latin-1"))
    assert ["/rules/latin.yaml:1:1: not UTF-8 (byte 5)"] == said()
    (tmp_path / "rules" / "latin.yaml").rename(tmp_path / "rules" / "notes.txt")
    assert ["cart"] == [rule.id for rule in load_rules(tmp_path / "rules").rules]


def test_windows_files_are_read_with_right_positions() -> None:
    """A byte order mark and CR LF change nothing."""
    text = "\ufeff" + changed("email", "e-mail").replace("\n", "\r\n")

    assert ["cart.yaml:10:12: unknown: e-mail; did you mean email?"] == mistakes(text)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), edits=st.integers(1, 6))
def test_no_text_makes_the_loader_fail_in_another_way(seed: int, edits: int) -> None:
    """However a good file is mangled, it is read or refused with places."""
    draw = random.Random(seed)
    path = draw.choice(sorted(LIBRARY.glob("*.yaml")))
    content = bytearray(path.read_bytes())
    bits = [b"\t", b"\n", b":", b"- ", b"&a ", b"*a", b"!", b"!!binary ", b"'", b'"', b"{", b"[", b"\\u", b"\x00", b"\xff",
            b"\xe2\x80\xa8", b"9" * 30, b"1e999", b"~", b"<<: ", b"? ", b"---\n", b"%YAML 9\n", b"|", b">", b"#", b"(" * 70,
            b"[" * 3000, b"null", b".inf", b"-", b"(", b")", b"/", b"0", b"event.nps", b"true"]  # fmt: skip
    for _ in range(edits):
        at = draw.randrange(len(content) + 1)
        content[at : at + draw.choice((0, 0, 1, 5, 40))] = draw.choice(bits)
    try:
        parse_rules({path.name: bytes(content)})
    except RuleFileError as error:
        lines = bytes(content).count(b"\n") + 1
        for problem in error.problems:
            name, line, column, message = problem.split(":", 3)

            assert path.name == name
            assert 1 <= int(line) <= lines + 1
            assert int(column) >= 1
            assert message.strip()


JOURNEY = """\
id: cart
version: 1
description: Somebody looks.
when: {event: product_viewed}
expires_after: 2d
steps:
  - {id: hello, send: {action: reminder, channel: email, template: hello}}
  - {id: looks, wait_for: [cart_added, nps], within: 3d, else: bye}
  - {id: fork, branch: customer.cart_open, then: rest, else: end}
  - {id: rest, wait: 2d}
  - {id: bye, send: {action: offer, channel: sms, template: bye, offer: {kind: points, value: 5}}}
"""


def test_steps_become_a_journey() -> None:
    """Each step knows where it leads; the rule as a whole is described by its first action."""
    (rule,) = parse_rules({"cart.yaml": JOURNEY}).rules

    assert rule.journey is not None
    assert [
        ("hello", "looks", None),
        ("looks", "fork", "bye"),
        ("fork", "rest", "end"),
        ("rest", "bye", None),
        ("bye", "end", None),
    ] == [(step.id, step.then, getattr(step, "otherwise", None)) for step in rule.journey.steps]
    assert ("reminder", "email", "hello", None) == (rule.action, rule.channel, rule.template, rule.offer)
    assert {"cart_added", "nps"} == rule.journey.awaited
    assert rule.journey.stop_on_purchase
    assert rule.journey.stop_if is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "{id: rest, wait: 2d}",
            "{id: rest}",
            "10:5: needs exactly one of `send`; `wait`; `wait_for` with `within`; `branch`: id",
        ),
        (", within: 3d", "", "8:17: needs `within:` beside it: wait_for"),
        ("wait: 2d", "wait: two days", "10:22: must be a duration such as 90s, 15m, 2h, 3d or 2w: two days"),
        ("wait: 2d", "wait: 99w", "10:22: by now it may last longer than 365 days: 99w"),
        ("cart_added, nps", "Product Added, nps", "8:28: unknown: Product Added; did you mean cart_added?"),
        (
            "cart_added, nps",
            "purchase",
            "8:27: a purchase ends the journey first, unless `stop_on_purchase: false`: purchase",
        ),
        ("then: rest", "then: rst", "9:50: there is no such step: rst; did you mean rest?"),
        ("then: rest", "then: hello", "9:50: a journey only leads forward, to a later step: hello"),
        ("wait: 2d", "wait: 2d, else: bye", "10:32: only `wait_for` and `branch` have another way: bye"),
        ("id: rest", "id: hello", "10:10: there is a step of this name already: hello"),
        ("id: bye", "id: end", "11:10: this name stands for the end of the journey: end"),
        ("wait: 2d", "wait: 2d, then: end", ""),
        ("then: rest", "then: end", "10:10: no step leads here: rest"),
        (
            "customer.cart_open",
            "customer.cart_opn",
            "9:24: unknown variable: customer.cart_opn; did you mean customer.cart_open?",
        ),
        ("steps:", "stop_if: customer.tier > 3\nsteps:", "6:10: compares a string with an int: customer.tier > 3"),
        ("value: 5", "code: X", "11:80: needs `value:` beside it: points"),
        ("steps:", "contest: a\nsteps:", "6:10: a journey competes with nobody, its steps come when they come: a"),
        (
            "steps:",
            "then: {action: care, channel: app, template: a}\nsteps:",
            "7:1: a rule has either `then:` or `steps:`: steps",
        ),
    ],
)
def test_mistakes_in_journeys_are_told_with_their_place(old: str, new: str, said: str) -> None:
    """As a compiler tells them, and each once."""
    assert old in JOURNEY
    text = JOURNEY.replace(old, new)
    if not said:
        assert parse_rules({"cart.yaml": text}).rules
        return
    assert f"cart.yaml:{said}" in mistakes(text)


def test_steps_without_names_are_told_of_once() -> None:
    """That two of them share the name that neither has is no further mistake."""
    text = JOURNEY.replace(", then: rest", "").replace("{id: rest, wait: 2d}", "{wait: 2d}\n  - {wait: 1d}")
    assert ["cart.yaml:10:5: missing: steps.3.id", "cart.yaml:11:5: missing: steps.4.id"] == mistakes(text)


def test_only_journeys_stop_and_something_is_sent() -> None:
    """What makes no sense without steps, and steps without an action, are mistakes."""
    assert mistakes(GOOD + "stop_if: customer.bought\n")[0].endswith(
        ": only a journey can stop, a rule with `steps:`: customer.bought"
    )
    without = JOURNEY.partition("steps:")[0] + "steps:\n  - {id: rest, wait: 2d}\n"
    assert ["cart.yaml:7:3: nothing is ever sent: at least one step needs `send:`"] == mistakes(without)
