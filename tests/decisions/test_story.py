"""A decision's own record tells its story, and whether it was tampered with."""

from __future__ import annotations

from pathlib import Path

import msgspec
import orjson

from stream.config import make_settings
from stream.decisions.story import Story, decode, story
from stream.rules.loader import load_rules
from stream.testing import Shop

NIGHT_RULE = """
id: lapsed
version: 3
description: Comes back after ten days.
when: {since: last_purchase, after: 10d}
then: {action: recall, channel: sms, template: lapsed, offer: {kind: percent, value: 10}}
expires_after: 3d
"""


def _stories(folder: Path) -> tuple[Story, Story]:
    """Of an action that was put off for a night and then went out."""
    (folder / "lapsed.yaml").write_text(NIGHT_RULE.strip() + "\n", encoding="utf-8")
    shop = Shop(rules=load_rules(str(folder)), settings=make_settings(timer_spread_ms=0))
    shop.send("Order Completed", "ann", "2026-03-01T23:30:00Z", order_id="o1", revenue=50.0)
    shop.wait_until("2026-03-20T00:00:00Z")
    records = [item for item in shop.take() if item.pop("stream") in ("actions", "suppressions")]
    put_off, sent = (story(decode(orjson.dumps(record))) for record in records)
    return put_off, sent


def test_a_night_is_told_in_two_records(tmp_path: Path) -> None:
    """What, why, by what cause, on which state, and what spoke for and against it."""
    put_off, sent = _stories(tmp_path)

    assert (
        "lapsed (version 3) for ann: put off at 2026-03-11 23:30 UTC until 2026-03-12 08:00 UTC, because of quiet hours"
        == (put_off.title)
    )
    assert "lapsed (version 3) for ann: went out at 2026-03-12 08:00 UTC by sms" == sent.title
    told = {line.about: (line.text, line.speaks) for line in put_off.lines}
    assert "recall “lapsed” with 10 % off" == told["what"][0]
    assert "silence: due at 2026-03-11 23:30 UTC" == told["caused by"][0]
    assert told["the customer"][0].endswith("1 order worth 50.00 USD in a year, the last 10 days before")
    assert ("it is 23:30 in UTC, quiet until 2026-03-12T08:00:00Z", "against") == told["quiet hours"]
    assert put_off.agrees and sent.agrees


def test_a_record_that_was_changed_does_not_agree_with_itself(tmp_path: Path) -> None:
    """The facts of a failed check lead to the verdict; another verdict beside them is noticed."""
    put_off, _ = _stories(tmp_path)
    shop = Shop(settings=make_settings(consent_default="opt_in", timer_spread_ms=0))
    shop.send("Order Completed", "ann", "2026-03-01T10:00:00Z", order_id="o1", revenue=50.0)
    shop.wait_until("2026-05-20T00:00:00Z")
    (held_back, *_) = [item for item in shop.take() if item.pop("stream") == "suppressions"]
    decision = decode(orjson.dumps(held_back))

    assert story(decision).agrees
    assert not story(msgspec.structs.replace(decision, verdict="publish", reason=None)).agrees
    assert "the same verdict" == put_off.lines[-1].text
