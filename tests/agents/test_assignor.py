"""Who gets which partition: evenly, together, and with as few moves as can be."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from stream.agents.assignor import CopartitionedAssignor, share

members = st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.integers(0, 20), unique=True), min_size=1)


@given(count=st.integers(0, 20), owned=members)
def test_everything_is_dealt_once_and_evenly(count: int, owned: dict[str, list[int]]) -> None:
    """Every partition has one owner, whatever members claim, and no two members differ by more than one."""
    dealt = share(range(count), owned)

    assert list(range(count)) == sorted(number for numbers in dealt.values() for number in numbers)
    assert owned.keys() == dealt.keys()
    sizes = [len(numbers) for numbers in dealt.values()]
    assert max(sizes) - min(sizes) <= 1


@given(count=st.integers(1, 20), names=st.sets(st.sampled_from("abcdefgh"), min_size=1))
def test_dealing_again_moves_nothing(count: int, names: set[str]) -> None:
    """A rebalance without a change of members leaves all where they are."""
    first = share(range(count), {name: [] for name in names})

    assert first == share(range(count), first)


@given(count=st.integers(1, 20), names=st.sets(st.sampled_from("abcdefgh"), min_size=1))
def test_a_newcomer_moves_only_its_own_share(count: int, names: set[str]) -> None:
    """When one joins, only as many partitions move as it gets."""
    before = share(range(count), {name: [] for name in names})
    after = share(range(count), before | {"new": []})

    moved = sum(len(set(before[name]) - set(after[name])) for name in names)
    assert len(after["new"]) == moved


def test_all_topics_of_a_partition_go_together() -> None:
    """Partition p of every topic has one owner; the one-partition topic goes to the owner of partition 0."""
    assignor = CopartitionedAssignor()
    topics = {"purchases": {0, 1, 2}, "browses": {0, 1, 2}, "contributions": {0}}
    cluster = SimpleNamespace(partitions_for_topic=topics.get)
    metadata = {name: assignor.metadata(topics) for name in ("one", "two")}

    dealt = {name: dict(each.assignment) for name, each in assignor.assign(cluster, metadata).items()}

    for each in dealt.values():
        assert each["purchases"] == each["browses"]
        assert (each["contributions"] == [0]) is (0 in each["purchases"])
