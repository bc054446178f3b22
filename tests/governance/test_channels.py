"""Of several channels the one that fits the customer: by what is allowed, by the tier, and by what they answer to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.actions.decision import Verdict
from stream.config import TIERS_OF_ALL, make_settings
from stream.decisions.story import decode, story
from stream.errors import ConfigurationError
from stream.events.instants import parse_ms
from stream.governance.judge import judge, judged_again, settle_channel
from stream.replay import Replay
from stream.rules.loader import parse_rules
from stream.rules.vocabulary import Channel
from stream.state.customer import Customer
from stream.testing import Shop, message
from tests.governance.asking import DAY_MS, HOUR_MS, NOW, ask

CHANNELS: tuple[Channel, ...] = ("email", "push", "sms")
RULE = """
id: viewed
version: 1
description: Looks at something.
when: {event: product_viewed}
then: {action: reminder, channel: [email, push, sms], template: viewed}
expires_after: 1d
"""
LIMITS: dict[str, Any] = {
    "cap_messages": 50,
    "caps": "channel:push=2/2d,channel:sms=1/3d,channel:email=1/12h",
    "timer_spread_ms": 0,
}


def chosen(customer: Customer, tier: str = "low", **values: Any) -> str:
    """The channel of an action that may go out on any."""
    asked = ask(customer, tier=tier, changes={"cap": True, "cooldown_ms": 0}, **values)
    settle_channel(asked, CHANNELS)
    return asked.channel


def answering(**known: tuple[int, int]) -> Customer:
    """A customer to whom so many messages went out by channel, and who answered so many."""
    customer = Customer()
    for channel, (sent, answers) in known.items():
        for _ in range(sent):
            customer.memory.plan().count_sent(channel)
        for number in range(answers):
            customer.person.reached(channel, NOW - DAY_MS + number, answered=True)
    return customer


@pytest.mark.parametrize(
    ("tier", "channel"), [("high", "push"), ("low", "sms"), ("lost", "sms"), ("medium", "email"), ("prospect", "email")]
)
def test_the_tier_says_how_somebody_unknown_is_reached(tier: str, channel: str) -> None:
    """High tiers by push, low ones by SMS, others as the rule's file has it; the shop may see it otherwise."""
    assert channel == chosen(Customer(), tier)
    assert "email" == chosen(Customer(), tier, tier_channels=f"{tier}=wechat>email")


@pytest.mark.parametrize(
    ("customer", "channel"),
    [
        (answering(email=(9, 4)), "email"),  # answers there
        (answering(email=(4, 4)), "push"),  # four messages say too little
        (answering(push=(30, 0)), "push"),  # never answers anywhere: perhaps the sender doesn't tell
        (answering(push=(30, 0), sms=(1, 1)), "email"),  # answers, but not there: what isn't known is better
        (answering(push=(30, 0), email=(30, 1), sms=(30, 3)), "sms"),
        (answering(push=(9, 3), email=(9, 3)), "push"),  # equal: the tier decides
        (answering(push=(0, 9)), "push"),  # answers to messages that were not ours
    ],
)
def test_what_the_customer_answers_to_counts_more_than_the_tier(customer: Customer, channel: str) -> None:
    """Once there is enough to tell by."""
    assert channel == chosen(customer, "high")


def test_what_is_not_allowed_or_does_not_arrive_is_passed_over() -> None:
    """A refusal, a bounce, a missing address and a full cap each lead to the next channel; with none left the reason is told."""
    refused = Customer()
    refused.person.set_consent("push", NOW - 1, False)
    bounced = Customer()
    bounced.person.reached("push", NOW - DAY_MS, bounced=True)
    full = Customer()
    full.memory.plan().sent_ms["channel:push"] = [NOW - HOUR_MS]
    nobody = Customer()
    nobody.person.set_consent("*", NOW - 1, False)

    assert ["email"] * 3 == [chosen(c, "high", caps="channel:push=1/2d") for c in (refused, bounced, full)]
    assert "push" == chosen(full, "high", caps="channel:push=1/2d,channel:email=0/1d,channel:sms=0/1d")
    assert "push" == chosen(Customer(), "low", customer_id="anon:x")
    asked = ask(nobody, tier="high")
    settle_channel(asked, CHANNELS)
    assert ("suppressed", "consent_missing") == judge(asked)[:2]


def test_a_night_is_waited_out_unless_the_action_is_worthless_by_then() -> None:
    """Then what doesn't ring goes out at once."""
    night = NOW - 3 * HOUR_MS

    assert "push" == chosen(Customer(), "high", now_ms=night)
    assert "email" == chosen(Customer(), "high", now_ms=night, expires_ms=NOW)


@given(
    st.lists(st.tuples(st.sampled_from(CHANNELS), st.integers(0, 9), st.integers(0, 9), st.booleans())), st.booleans()
)
def test_a_record_says_enough_to_choose_again(known: list[tuple[str, int, int, bool]], tampered: bool) -> None:
    """Through JSON; and a channel that wasn't chosen is noticed."""
    customer = answering(**{channel: (sent, answers) for channel, sent, answers, _ in known})
    for channel, _, _, refused in known:
        if refused:
            customer.person.set_consent(channel, NOW - 1, False)
    asked = ask(customer, tier="high")
    settle_channel(asked, CHANNELS)
    judged = judge(asked)
    record = msgspec.json.decode(msgspec.json.encode(judged.verdicts), type=tuple[Verdict, ...])
    if tampered:
        choice = next(verdict for verdict in record if verdict.check == "channel_choice")
        choice.facts["chosen"] = next(channel for channel in CHANNELS if channel != asked.channel)

    assert tampered == (judged_again(record, asked.expires_ms) != (judged.answer, judged.reason))


_steps = st.lists(
    st.tuples(
        st.sampled_from(("view", "view", "refuse", "allow", "open", "bounce")),
        st.sampled_from((*CHANNELS, "*")),
        st.integers(0, 20),
        st.integers(0, 30),
    ),
    min_size=5,
    max_size=60,
)


@given(_steps, st.sampled_from(("opt_in", "opt_out")))
@settings(max_examples=60, deadline=None)
def test_never_a_channel_without_consent_or_over_its_cap(steps: list[tuple[str, str, int, int]], default: str) -> None:
    """Whatever happens in whatever order, also late: what goes out is allowed, has not bounced, and no window holds too many."""
    shop = Shop(parse_rules({"viewed.yaml": RULE.lstrip()}), make_settings(consent_default=default, **LIMITS))
    choices: dict[str, tuple[int, bool]] = {}
    signs: dict[str, tuple[int, int]] = {}
    went: dict[str, list[int]] = {channel: [] for channel in CHANNELS}
    clock = NOW
    for number, (kind, channel, hours, late) in enumerate(steps):
        clock += hours * HOUR_MS + 1
        shop.wait_until(clock)
        _check(shop, went, choices, signs, default)
        at = clock - late * HOUR_MS if kind != "view" else clock
        if kind == "view":
            body = message("Product Viewed", "ann", at, message_id=f"m{number}", product_id=f"p{number}")
        elif kind in ("refuse", "allow"):
            allowed = kind == "allow"
            body = message(
                "Consent Changed", "ann", at, message_id=f"m{number}", consent_channel=channel, granted=allowed
            )
            choices[channel] = max(choices.get(channel, (0, False)), (at, allowed), key=lambda c: (c[0], not c[1]))
        elif channel == "*":
            continue
        else:
            name = "Action Opened" if kind == "open" else "Action Bounced"
            body = message(name, "ann", at, message_id=f"m{number}", action_id="a", channel=channel)
            bounced, opened = signs.get(channel, (0, 0))
            signs[channel] = (max(bounced, at), opened) if kind == "bounce" else (bounced, max(opened, at))
        shop.send_bytes(orjson.dumps(body), clock)
        _check(shop, went, choices, signs, default)
    assert all(item["stream"] != "dead_letters" for item in shop.take())
    for channel, most, days in (("push", 2, 2.0), ("sms", 1, 3.0), ("email", 1, 0.5)):
        times = went[channel]
        pairs = zip(times, times[most:], strict=False)
        assert all(later - earlier >= days * DAY_MS for earlier, later in pairs), channel


def _check(
    shop: Shop,
    went: dict[str, list[int]],
    choices: dict[str, tuple[int, bool]],
    signs: dict[str, tuple[int, int]],
    default: str,
) -> None:
    for item in shop.take():
        if item["stream"] in ("actions", "suppressions"):
            told = story(decode(orjson.dumps({k: v for k, v in item.items() if k != "stream"})))
            assert told.agrees
        if item["stream"] == "actions":
            channel, decided_ms = item["channel"], parse_ms(item["decided_at"])
            said = [choices[name] for name in (channel, "*") if name in choices]
            assert max(said, key=lambda c: (c[0], not c[1]))[1] if said else default == "opt_out"
            bounced, opened = signs.get(channel, (0, 0))
            assert not bounced or opened > bounced or decided_ms - bounced >= 30 * DAY_MS
            went[channel].append(decided_ms)


def test_it_is_told_in_the_story_and_a_changed_channel_is_noticed() -> None:
    """With what was known of each channel."""
    shop = Shop(parse_rules({"viewed.yaml": RULE.lstrip()}), make_settings(**LIMITS))
    shop.send("Consent Changed", "ann", NOW - 2, consent_channel="push", granted=False)
    shop.send("Product Viewed", "ann", NOW, product_id="p")
    (item,) = [item for item in shop.take() if item.pop("stream") == "actions"]
    record = orjson.dumps(item)
    told = story(decode(record))

    lines = {line.about: (line.text, line.speaks) for line in told.lines}
    assert ("email, for tier prospect, out of email, push (consent missing) and sms", "for") == lines["channel"]
    assert told.agrees
    assert not story(decode(record.replace(b'"channel":"email","template"', b'"channel":"sms","template"'))).agrees


def test_variants_and_steps_choose_too_and_a_replay_agrees(tmp_path: Path) -> None:
    """A variant's one channel takes the place of several, its several that of one; live and replay, in any order, say the same."""
    text = RULE + "variants:\n  - {id: a, channel: sms}\n  - {id: b}\n  - {id: c, channel: [push, email]}\n"
    steps = RULE.replace("id: viewed", "id: steps").replace(
        "then: {action: reminder, channel: [email, push, sms], template: viewed}",
        "steps:\n  - {id: one, send: {action: reminder, channel: [email, push, sms], template: s}}",
    )
    (tmp_path / "rules").mkdir()
    files = {"viewed.yaml": text.lstrip(), "steps.yaml": steps.lstrip()}
    for name, content in files.items():
        (tmp_path / "rules" / name).write_text(content)
    shop = Shop(parse_rules(files), make_settings(**LIMITS))
    lines = []
    for number in range(60):
        customer, at = f"c{number % 20}", NOW + number * 3 * HOUR_MS
        name, more = "Product Viewed", dict[str, Any](product_id="p")
        if number % 3 == 2:
            name, more = "Consent Changed", {"consent_channel": CHANNELS[number % 7 % 3], "granted": number % 2 == 0}
        lines.append(orjson.dumps(message(name, customer, at, message_id=f"m{number}", **more)))
        shop.send_bytes(lines[-1], at)
    live = [item for item in shop.take() if item["stream"] == "actions"]
    source = tmp_path / "events.jsonl"
    source.write_bytes(b"\n".join(reversed(lines)))
    made = make_settings(rules_dir=str(tmp_path / "rules"), **LIMITS)
    with Replay(made, parse_rules(files), work=tmp_path / "work") as replay:
        replay.run([source])
        replayed = [orjson.loads(row) for row in replay.rows("actions")]

    arms = {(item["experiment"]["arm"], item["channel"]) for item in live if item["rule"]["id"] == "viewed"}
    assert {channel for arm, channel in arms if arm == "a"} == {"sms"}
    assert {channel for arm, channel in arms if arm == "c"} <= {"push", "email"}
    assert {"a", "b", "c"} == {arm for arm, _ in arms}
    assert len({item["channel"] for item in live if item["rule"]["id"] == "steps"}) > 1
    keys = ("action_id", "channel", "decided_at")
    assert sorted([item[k] for k in keys] for item in live) == sorted([item[k] for k in keys] for item in replayed)


def test_a_shop_that_names_what_is_not_there_is_told() -> None:
    """A form that can't be read, a tier and a channel that don't exist."""
    with pytest.raises(ConfigurationError) as caught:
        make_settings(tier_channels="high:push, gold=push, low=pigeon>sms", channel_costs="sms=7.5, pigeon=3")

    assert (
        "tier_channels: 'high:push' is not of the form high=push>app",
        f"tier_channels: there is no tier 'gold', only {', '.join(TIERS_OF_ALL)}",
        "tier_channels: there is no channel 'pigeon'",
        "channel_costs: 'sms=7.5' is not of the form sms=7, in minor units",
        "channel_costs: there is no channel 'pigeon'",
    ) == caught.value.problems
