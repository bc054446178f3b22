"""Which decision is which: by id, then by customer, rule and nearness."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.backtest.made import Made
from stream.backtest.matching import Pairing, last_words, pair


def made(
    action_id: str, at_ms: int, rule: str = "r", *, sent: bool = True, reason: str = "", template: str = "t"
) -> Made:
    """A decision."""
    verdict = "publish" if sent else "suppressed"
    return Made(rule, action_id, at_ms, int(sent), verdict, reason, "email", template, "null", "recall", "low", 1, 0)


def ids(pairings: list[Pairing]) -> set[tuple[str | None, str | None]]:
    """The pairings by their ids."""
    return {(old and old.action_id, new and new.action_id) for old, new in pairings}


def test_one_id_is_one_decision_however_far_apart() -> None:
    """Ids name occasions: what is decided of one is one decision."""
    assert {("a", "a")} == ids(pair([made("a", 0)], [made("a", 10**9)], 5))


def test_an_occasion_with_another_name_is_found_by_nearness() -> None:
    """Within the window, of the same rule, each once, the earliest first."""
    old = [made("o1", 100), made("o2", 200), made("o3", 900), made("o4", 100, "s")]
    new = [made("n1", 130), made("n2", 140), made("n3", 500), made("n4", 100, "other")]

    expected = {("o1", "n1"), ("o2", "n2"), (None, "n3"), ("o3", None), ("o4", None), (None, "n4")}
    assert expected == ids(pair(old, new, 60))


def test_what_differs_is_named() -> None:
    """Time first, then what is said."""
    moved = Pairing(made("a", 1), made("a", 2, sent=False, reason="cooldown", template="u"))

    assert ("moves", ("time", "verdict", "reason", "template")) == (moved.change, moved.what)
    assert ("same", ()) == (Pairing(made("a", 1), made("a", 1)).change, Pairing(made("a", 1), made("a", 1)).what)


def test_the_last_word_counts() -> None:
    """A decision that is put off is decided again under its id."""
    put_off, sent = made("a", 1, sent=False, reason="quiet_hours"), made("a", 2)

    assert [sent] == last_words([put_off, sent])


_decisions = st.lists(
    st.builds(made, st.sampled_from("abcdef"), st.integers(0, 50), st.sampled_from("rs")),
    max_size=6,
    unique_by=lambda one: one.action_id,
)


@given(_decisions, _decisions, st.integers(0, 20))
def test_every_decision_is_in_exactly_one_pair(old: list[Made], new: list[Made], window_ms: int) -> None:
    """Nothing is lost or doubled; those paired by nearness are of one rule and near; the other way round mirrors it in count."""
    pairings = pair(old, new, window_ms)

    assert sorted(old) == sorted(each.old for each in pairings if each.old)
    assert sorted(new) == sorted(each.new for each in pairings if each.new)
    for before, now in pairings:
        assert before or now
        if before and now and before.action_id != now.action_id:
            assert before.rule == now.rule and abs(before.at_ms - now.at_ms) <= window_ms
    mirrored = pair(new, old, window_ms)
    assert len(pairings) == len(mirrored)
