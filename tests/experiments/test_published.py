"""What is published of experiments and of the programme: its words to the letter, only what is new, and sums that are never lost."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.actions.message import Message, Stream
from stream.config import make_settings
from stream.experiments.published import ALL, DETAIL_DAYS, effects, newest
from stream.experiments.tally import Key, Sums, Tally, acted, merged, settled
from stream.processor.epochs import Coordinator, DayClosed, Epoch, Tallies, decode_epoch, epoch_message
from stream.segments.population import Histograms
from tests.conftest import tell_experiment, tell_story

GOLDEN = Path(__file__).parent / "told.jsonl"


def told() -> list[str]:
    """Every message of the experiment, and the programme's figures at the end of each month of the story, as they leave."""
    shops = (tell_experiment(), tell_story())
    found = [m for shop in shops for out in shop.outcomes for m in out.messages]
    wanted = [m for m in found if m.stream is Stream.EXPERIMENTS]
    wanted += [m for m in found if m.stream is Stream.KPIS and b"-01T" in dict(m.headers)["ce_time"]]
    return [_line(m) for m in wanted]


def _line(message: Message) -> str:
    headers = {name: raw.decode() for name, raw in message.headers}
    key = (message.key or b"").decode()
    return orjson.dumps({"key": key, "headers": headers, "value": orjson.loads(message.value or b"")}).decode()


def test_messages_are_those_of_the_golden_file() -> None:
    """Key, headers and every field."""
    # Meant to change? `python -m tests.experiments.test_published` writes it anew.
    assert GOLDEN.read_text(encoding="utf-8").splitlines() == told()


def test_only_days_with_something_new_tell_of_an_experiment() -> None:
    """Thirty customers met one rule on one day: its arms are told of when actions went out and when outcomes came, and on no other of
    forty days, though the clock passed some of them at once."""
    messages = [m for out in tell_experiment().outcomes for m in out.messages if m.stream is Stream.EXPERIMENTS]
    days = [orjson.loads(m.value or b"")["day"] for m in messages]

    assert ["2026-01-01", "2026-01-02", "2026-01-04", "2026-01-04"] == sorted(days)
    assert len(messages) == len({dict(m.headers)["ce_id"] for m in messages})


HISTORY = st.lists(
    st.tuples(
        st.integers(1, 4 * DETAIL_DAYS),
        st.sampled_from(("a", "b")),
        st.integers(1, 4),
        st.sampled_from(("control", "x", "y")),
        st.sampled_from(("email", "sms")),
        st.sampled_from(("low", "high")),
        st.integers(0, 900),
    ),
    max_size=60,
)


@given(HISTORY)
def test_sums_of_every_version_are_kept_and_old_details_are_not(
    history: list[tuple[int, str, int, str, str, str, int]],
) -> None:
    """Day by day, with a new owner now and then: every version's sums by arm are those of all outcomes ever, and only versions that are the
    newest or were heard of lately are still told apart by channel and tier."""
    settings = make_settings()
    coordinator = Coordinator(settings, 1)
    by_day: dict[int, list[Tally]] = defaultdict(list)
    for day, rule, version, arm, channel, tier, minor in history:
        key = Key(rule, version, arm, channel, tier)
        by_day[day].append(settled(key, minor % 3, minor) if minor % 5 else acted(key, minor))
    last: dict[tuple[str, int], int] = {}
    epoch: Epoch | None = None
    for day in sorted({*by_day, 4 * DETAIL_DAYS, 6 * DETAIL_DAYS}):
        if by_day[day]:
            coordinator.contribute(Tallies(partition=0, day=day, tallies=by_day[day]))
        coordinator.contribute(DayClosed(partition=0, day=day, histograms=Histograms()))
        epoch = coordinator.fold()
        assert epoch is not None
        for tally in by_day[day]:
            last[tally.key.rule_id, tally.key.version] = day
        fresh = {(t.key.rule_id, t.key.version) for t in by_day[day]}
        values = [orjson.loads(m.value or b"") for m in coordinator.told]
        assert fresh == {(value["rule_id"], value["version"]) for value in values}
        if day % 2:
            coordinator = Coordinator(settings, 1)
            coordinator.resume(decode_epoch(epoch_message(epoch).value or b""))
    assert epoch is not None
    folded = epoch.tallies
    everything = [tally for tallies in by_day.values() for tally in tallies]

    assert _by_arm(everything) == _by_arm(folded)
    for tally in folded:
        key = Key(*tally.key)
        if key.channel != ALL:
            versions = [version for rule, version in last if rule == key.rule_id]
            since = 6 * DETAIL_DAYS - last[key.rule_id, key.version]
            assert key.version == max(versions) or since <= DETAIL_DAYS


def _by_arm(tallies: list[Tally]) -> list[Tally]:
    return merged(Tally(Key(*t.key)._replace(channel="", tier=""), t.sums) for t in tallies)


@pytest.mark.parametrize("exposed", [10, 5_000])
def test_an_arm_is_told_with_what_it_changes(exposed: int) -> None:
    """Beside a hold-out there is an effect with bounds, one without an end where there is none; the hold-out itself has none."""
    tallies = [
        Tally(
            Key("r", 2, "x", "email", "low"), Sums(exposed, exposed // 2, exposed // 2, 100 * exposed, "1" + "0" * 9)
        ),
        Tally(
            Key("r", 2, "control", "email", "low"),
            Sums(exposed, exposed // 5, exposed // 5, 50 * exposed, "1" + "0" * 9),
        ),
        Tally(Key("r", 1, "x", "email", "low"), Sums(1)),
    ]
    control, treated = effects(tallies, newest(tallies), 20_000, "EUR")

    assert (control.arm, control.holdout, control.verdict, control.uplift) == ("control", True, None, None)
    assert treated.uplift is not None
    assert treated.uplift.value == 1.5
    assert (treated.uplift.high is None) == (exposed == 10)
    assert treated.verdict == ("too_early" if exposed == 10 else "works")
    assert treated.by_channel_and_tier[0].exposed == exposed


if __name__ == "__main__":
    GOLDEN.write_text("\n".join(told()) + "\n", encoding="utf-8")
    sys.stdout.write(f"{GOLDEN} written\n")
