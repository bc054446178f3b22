"""Which of several channels an action goes out on, for one customer (E8: channel fit by tier and by the customer's own response).

Told from plain facts alone, one mapping per channel, which travel with the decision: whoever has the record chooses again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Way = Mapping[str, Any]
"""``channel``; ``obstacle``: the check that it fails, or empty; ``rank``: its place in what the tier is best reached by;
``sent``: actions that went out to the customer on it; ``answers``: messages on it that the customer opened or followed."""

PRIOR_PERMILLE = 200
"""Share of messages that are answered, taken of a channel of which too little is known. Higher: whoever answers little loses
the tier's channel although no other is better; lower: who never answers on it keeps it for long."""
PRIOR_MESSAGES = 5
"""So many messages the prior is worth. More: the customer's own answers take long to count; fewer: one of them decides."""
ENOUGH_MESSAGES = 5
"""Below so many on a channel its own answers say nothing. Fewer: chance moves customers from channel to channel; more: a year of
messages goes where nobody looks."""


def answered_permille(sent: int, answers: int, *, is_heard: bool) -> int:
    """What share of messages on a channel the customer answers, as far as that is known: smoothed, and the prior where it isn't.

    ``is_heard``: the customer has answered on one of the channels. If never, nothing is known: the sender may not tell.

    >>> answered_permille(4, 0, is_heard=True), answered_permille(20, 0, is_heard=True), answered_permille(9, 4, is_heard=True)
    (200, 40, 357)
    >>> answered_permille(20, 0, is_heard=False)
    200
    """
    messages = max(sent, answers)  # one message may be opened and followed, or be none of ours
    if not is_heard or messages < ENOUGH_MESSAGES:
        return PRIOR_PERMILLE
    return (1_000 * answers + PRIOR_PERMILLE * PRIOR_MESSAGES) // (messages + PRIOR_MESSAGES)


def best(ways: Sequence[Way]) -> str:
    """The channel to take: one that may be used now before one whose cap is full, and any of these before one that can't be
    used; then the one that the customer answers most; then the one that the tier is best reached by; then the file's order.

    >>> push, email = {"channel": "push", "obstacle": "", "rank": 0}, {"channel": "email", "obstacle": "", "rank": 9}
    >>> best([email | {"sent": 0, "answers": 0}, push | {"sent": 3, "answers": 0}])
    'push'
    >>> best([email | {"sent": 9, "answers": 4}, push | {"sent": 9, "answers": 0}])
    'email'
    >>> best([email | {"sent": 0, "answers": 0}, push | {"sent": 0, "answers": 0, "obstacle": "consent_missing"}])
    'email'
    """
    is_heard = any(way["answers"] for way in ways)

    def order(way: Way) -> tuple[int, int, int]:
        permille = answered_permille(way["sent"], way["answers"], is_heard=is_heard)
        return (_HINDERS.get(way["obstacle"], 2), -permille, way["rank"])

    return str(min(ways, key=order)["channel"])


_HINDERS = {"": 0, "frequency_cap": 1}
"""How much an obstacle speaks against a channel; any other one rules it out, as long as there is another channel."""


def told(chosen: str, tier: str, ways: Sequence[Way]) -> str:
    """The choice for a person.

    >>> told("email", "high", [{"channel": "push", "obstacle": "consent_missing", "rank": 0, "sent": 0, "answers": 0},
    ...                        {"channel": "email", "obstacle": "", "rank": 3, "sent": 9, "answers": 4}])
    'email, for tier high, out of push (consent missing) and email (4 answers to 9)'
    """
    names = [f"{way['channel']}{_known(way)}" for way in ways]
    return f"{chosen}, for tier {tier or 'unknown'}, out of {', '.join(names[:-1])} and {names[-1]}"


def _known(way: Way) -> str:
    parts = [str(way["obstacle"]).replace("_", " ")] if way["obstacle"] else []
    if way["sent"] or way["answers"]:
        parts.append(f"{way['answers']} answers to {way['sent']}")
    return f" ({', '.join(parts)})" if parts else ""
