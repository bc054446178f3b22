"""Who gets which partition: partition p of every topic goes to the same worker, and stays there if it can.

Kafka's round-robin assignor deals topic-partitions out one by one, so a customer's purchases and views would end up on
different workers. And a partition that moves is a state that must be restored, so a rebalance moves as few as it can
(the idea of KIP-54's sticky assignor, over whole partition numbers instead of topic-partitions).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata


def share(partitions: Sequence[int], owned: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """Deals partition numbers out to members, evenly to within one; members keep what they own as far as that allows.

    >>> share([0, 1, 2, 3], {"a": []})
    {'a': [0, 1, 2, 3]}
    >>> share([0, 1, 2, 3], {"a": [0, 1, 2, 3], "b": []})
    {'a': [0, 1], 'b': [2, 3]}
    >>> share([0, 1, 2, 3], {"b": [2, 3], "c": []})
    {'b': [2, 3], 'c': [0, 1]}
    """
    low, extra = divmod(len(partitions), len(owned))
    free = list(partitions)
    dealt: dict[str, list[int]] = {}
    # Who owns most goes first: the members that may have one more are those for whom it saves a move.
    for member in sorted(owned, key=lambda name: (-len(owned[name]), name)):
        quota = low + (extra > 0)
        kept = [partition for partition in sorted(owned[member]) if partition in free][:quota]
        extra -= len(kept) > low
        free = [partition for partition in free if partition not in kept]
        dealt[member] = kept
    for member in sorted(dealt, key=lambda name: (len(dealt[name]), name)):
        wanted = low - len(dealt[member])
        if wanted > 0:
            dealt[member] += free[:wanted]
            free = free[wanted:]
    for member in sorted(dealt, key=lambda name: (len(dealt[name]), name)):
        if free and len(dealt[member]) == low:
            dealt[member].append(free.pop(0))
    return {member: sorted(dealt[member]) for member in sorted(dealt)}


class CopartitionedAssignor:
    """The group protocol's side of `share`. One per consumer: it remembers what this member owns."""

    name = "winback-copartitioned"
    version = 1

    def __init__(self) -> None:
        self._owned: list[int] = []

    def metadata(self, topics: Iterable[str]) -> Any:
        """What this member tells the group's leader: its topics, and which partitions it has."""
        return ConsumerProtocolMemberMetadata(self.version, sorted(topics), msgspec.json.encode(self._owned))

    def on_assignment(self, assignment: Any) -> None:
        """Remembers what this member got."""
        self._owned = sorted({partition for _, partitions in assignment.assignment for partition in partitions})

    def assign(self, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
        """The leader's part: an assignment for every member."""
        topics = sorted({topic for member in members.values() for topic in member.subscription})
        existing = {topic: cluster.partitions_for_topic(topic) or set() for topic in topics}
        numbers = sorted(set().union(*existing.values()))
        shares = share(numbers, {name: _owned(member) for name, member in members.items()})
        return {
            name: ConsumerProtocolMemberAssignment(
                self.version,
                [(topic, [number for number in shares[name] if number in existing[topic]]) for topic in topics],
                b"",
            )
            for name in members
        }


def _owned(member: Any) -> list[int]:
    try:
        return msgspec.json.decode(member.user_data, type=list[int])
    except msgspec.DecodeError:
        return []
