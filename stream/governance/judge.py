"""All checks together: may it go out, must it wait, or is it held back; and the same again from the decision's own record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import Literal, NamedTuple, cast

from stream.actions.decision import Verdict
from stream.governance.asked import Asked
from stream.governance.channels import best
from stream.governance.checks import BY_NAME, CHECKS, CONSTANTS, Check, Facts
from stream.governance.policy import Policy
from stream.rules.rule import Rule
from stream.rules.vocabulary import Channel
from stream.state.memory import Memory

Answer = Literal["publish", "deferred", "suppressed"]
_LASTING = frozenset(name for name, *_ in takewhile(lambda check: check.name != "holdout", CHECKS))
"""The checks that look at nothing which passes with time or depends on other actions; the hold-out comes right after them."""
_OF_CHANNEL = ("missing_identifier", "consent_missing", "channel_unfit", "frequency_cap", "quiet_hours")
"""The checks that may speak against one channel and not against another."""
_CONSTANT: dict[int, Verdict] = {}
"""By identity of facts that are the same for everybody: the verdict that they lead to."""


class Judgement(NamedTuple):
    """The answer, the check that it hangs on, and what every check said."""

    answer: Answer
    reason: str | None
    retry_ms: int
    """When to ask again, for what is deferred."""
    verdicts: tuple[Verdict, ...]

    @property
    def is_exposed(self) -> bool:
        """Nothing lasting speaks against the action: treated or held out, the customer counts in the rule's experiment."""
        return all(verdict.passed for verdict in self.verdicts if verdict.check in _LASTING)


_MAY_GO = Judgement("publish", None, 0, ())


def settle_channel(asked: Asked, channels: Sequence[Channel]) -> None:
    """Chooses the channel of an action that may go out on one of several, and notes why.

    A channel that rings isn't passed over because it is night, unless the action would be worthless in the morning.
    """
    ranks = {channel: rank for rank, channel in enumerate(asked.policy.tier_channels.get(asked.tier, ()))}
    person, sent = asked.customer.person, asked.customer.memory.sent_on()
    ways = []
    for channel in channels:
        asked.channel = channel
        ways.append(
            {
                "channel": channel,
                "obstacle": _obstacle(asked),
                "rank": ranks.get(channel, len(ranks)),
                "sent": sent.get(channel, 0),
                "answers": person.answers(channel),
            }
        )
    asked.channel = cast(Channel, best(ways))
    asked.choice = {"chosen": asked.channel, "tier": asked.tier, "ways": ways}


def _obstacle(asked: Asked) -> str:
    """The first check that the channel fails, empty if it may be used."""
    for name in _OF_CHANNEL:
        check = BY_NAME[name]
        facts = check.look(asked)
        if facts is None or check.passes(facts):
            continue
        if name != "quiet_hours" or check.later(facts) >= asked.expires_ms:
            return name
    return ""


def judge(asked: Asked) -> Judgement:
    """Asks every check."""
    verdicts = []
    for check in CHECKS:
        facts = check.look(asked)
        if facts is not None:
            verdicts.append(_CONSTANT.get(id(facts)) or _verdict(check, facts))
    answer, reason, retry_ms = _answer(_failed(verdicts), asked.expires_ms)
    return Judgement(answer, reason, retry_ms, tuple(verdicts))


def judge_briefly(asked: Asked) -> Judgement:
    """As `judge`, for whoever publishes nothing: of the checks it names only those that have failed, and says no more of them."""
    failed = []
    for check in CHECKS:
        facts = check.look(asked)
        if facts is None:
            continue
        constant = _CONSTANT.get(id(facts))
        if not (check.passes(facts) if constant is None else constant.passed):
            failed.append((check, facts))
    if not failed:
        return _MAY_GO
    told = tuple([Verdict(check=check.name, passed=False, detail="") for check, _ in failed])
    return Judgement(*_answer(failed, asked.expires_ms), told)


def judged_again(verdicts: Iterable[Verdict], expires_ms: int) -> tuple[Answer, str | None]:
    """The answer and its reason, from nothing but the facts that a published decision carries (E9)."""
    again = []
    for verdict in verdicts:
        again.append(_verdict(BY_NAME[verdict.check], verdict.facts))
    answer, reason, _ = _answer(_failed(again), expires_ms)
    return answer, reason


def _verdict(check: Check, facts: Facts) -> Verdict:
    return Verdict(check=check.name, passed=check.passes(facts), detail=check.detail(facts), facts=dict(facts))


_CONSTANT.update((id(facts), _verdict(BY_NAME[name], facts)) for name, facts in CONSTANTS)


def _failed(verdicts: Iterable[Verdict]) -> list[tuple[Check, Facts]]:
    return [(BY_NAME[verdict.check], verdict.facts) for verdict in verdicts if not verdict.passed]


def _answer(failed: Sequence[tuple[Check, Facts]], expires_ms: int) -> tuple[Answer, str | None, int]:
    """Put off when all that holds it back passes in time; else the first check that doesn't names the reason."""
    if not failed:
        return "publish", None, 0
    retry_ms = 0
    for check, facts in failed:
        later_ms = check.later(facts)
        if not later_ms or later_ms >= expires_ms:
            return "suppressed", check.name, 0
        retry_ms = max(retry_ms, later_ms)
    return "deferred", failed[0][0].name, retry_ms


def remember(asked: Asked) -> bool:
    """Notes a published action for the checks to come; whether the partition's ledger has changed."""
    rule, memory, now_ms = asked.rule, asked.customer.memory, asked.now_ms
    if asked.channel != "none":
        memory.plan().count_sent(asked.channel)
    if rule.cooldown_ms:
        memory.decided_ms[rule.id] = now_ms
    if rule.cap:
        _remember_sent(rule, asked.channel, memory, now_ms, asked.policy)
    return asked.ledger.note(rule, asked.tier, asked.cost_minor, now_ms, asked.policy)


def remember_held_out(asked: Asked) -> None:
    """Notes that somebody in the hold-out would have had the action: the cool-down is theirs too, or they'd be counted more often
    than those whom they are compared with."""
    if asked.rule.cooldown_ms:
        asked.customer.memory.decided_ms[asked.rule.id] = asked.now_ms


def _remember_sent(rule: Rule, channel: Channel, memory: Memory, now_ms: int, policy: Policy) -> None:
    """No more instants than the cap allows actions: older ones can't decide anything."""
    for scope, most, _ in policy.caps_on(channel, rule.group):
        if most:
            sent = memory.sent_ms if scope == "customer" else memory.plan().sent_ms.setdefault(scope, [])
            sent.append(now_ms)
            sent.sort()
            del sent[:-most]
