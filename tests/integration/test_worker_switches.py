"""What people switch on a real broker: two who publish at once, pauses over restarts, dry runs and test customers by command."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from stream.adapters.broker import EmbeddedBroker
from stream.adapters.clock import WallClock
from stream.agents.publishing import publish, read_published
from stream.config import Settings
from stream.errors import ConfigurationError
from stream.events.instants import to_text
from stream.rules.loader import parse_rules
from stream.rules.published import Published, RulesVersion, Switched, next_version
from stream.rules.switches import rehearsed, switched
from stream.testing import message
from stream.worker import running_worker
from tests.agents.harness import committed, consumed, make_topics, produce, settings_for, until

RULE = """\
id: thanks
version: {version}
description: Thank everybody.
when: {{event: purchase}}
then: {{action: care, channel: app, template: thanks-{version}}}
expires_after: 1d
cap: false
quiet_hours: false
"""


def test_of_two_who_publish_at_once_one_is_refused_and_nothing_is_lost(broker: EmbeddedBroker) -> None:
    """Rules or switches: the later one to begin wins, the other is told so, and numbers go on without a gap when they try again."""
    settings = settings_for(broker.bootstrap, partitions=1)
    own = parse_rules({"thanks.yaml": RULE.format(version=1)})

    async def scenario() -> None:
        await make_topics(settings)
        loop = asyncio.get_running_loop()

        def version(number: int, by: str) -> Callable[[Published], RulesVersion]:
            files = {"thanks.yaml": RULE.format(version=number)}
            return lambda found: next_version(found, own, files, by=by, at_ms=number)

        def pause(found: Published) -> Switched:
            return switched(found.switched, "pause", by="eve", note="", rule_id="", at_ms=3)

        def meanwhile(other: Coroutine[Any, Any, Any]) -> None:
            """Somebody else publishes while the first one is between reading and writing."""
            asyncio.run_coroutine_threadsafe(other, elsewhere).result(60)

        elsewhere = asyncio.new_event_loop()
        thread = loop.run_in_executor(None, elsewhere.run_forever)
        try:

            def ann(found: Published) -> RulesVersion:
                made = version(2, "ann")(found)
                meanwhile(publish(settings, version(3, "bob")))
                return made

            def eve(found: Published) -> Switched:
                made = rehearsed(found.switched, ["c1"], remove=False, by="ann", note="", at_ms=4)
                meanwhile(publish(settings, pause))
                return made

            with pytest.raises(ConfigurationError, match="somebody else published at the same moment"):
                await publish(settings, ann)
            with pytest.raises(ConfigurationError, match="somebody else published at the same moment"):
                await publish(settings, eve)
        finally:
            elsewhere.call_soon_threadsafe(elsewhere.stop)
            await thread
            elsewhere.close()
        await publish(settings, version(4, "ann"))
        found = await read_published(settings)

        assert [(1, "bob"), (2, "ann")] == [(v.number, v.by) for v in found.versions]
        assert [(1, "pause", "eve")] == [(s.number, s.did, s.by) for s in found.switches]

    asyncio.run(scenario())


def test_switches_by_command_hold_over_a_restart_and_what_waited_goes_out_at_once(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    """A pause outlives the only worker; resumed, the action goes out without waiting; a dry run and a test customer send nothing."""
    (tmp_path / "thanks.yaml").write_text(RULE.format(version=1))
    settings = settings_for(broker.bootstrap, partitions=1, rules_dir=str(tmp_path), data_dir=str(tmp_path / "data"))

    async def scenario() -> None:
        await make_topics(settings)
        assert "everything paused by ann" == await _call(
            settings, "pause", "--by", "ann", "--note", "the mailer is down"
        )
        for number in (1, 2):
            async with running_worker(settings):
                await _buy(settings, f"c{number}")
                await until(lambda n=number: _has(settings, suppressed=n))
        async with running_worker(settings) as app:

            async def taken(number: int) -> None:
                await until(lambda: app.shell.release is not None and app.shell.release.switch >= number)

            await until(lambda: _has(settings, suppressed=2))
            assert "nothing is paused" == await _call(settings, "resume", "--by", "ann")
            await until(lambda: _has(settings, actions=2))
            assert "nothing is paused\ndry run, switched: thanks" == await _call(
                settings, "rules", "dry", "thanks", "--by", "bob"
            )
            added = await _call(settings, "test-customers", "add", "c4", "--by", "bob")
            assert "nothing is paused\ndry run, switched: thanks\ntest customers, switched: c4" == added
            await taken(4)
            await _buy(settings, "c3")
            await until(lambda: _has(settings, suppressed=3))
            await _call(settings, "rules", "dry", "thanks", "--off", "--by", "bob")
            await taken(5)
            await _buy(settings, "c4")
            await until(lambda: _has(settings, suppressed=4))
            assert "c4" == await _call(settings, "test-customers", "list")
            await _call(settings, "test-customers", "remove", "c4", "--by", "bob")
            await taken(6)
            await _buy(settings, "c4")
            await until(lambda: _has(settings, actions=3))
        held = [orjson.loads(record.value) for record in await committed(settings, settings.topic_suppressions)]
        sent = [orjson.loads(record.value) for record in await committed(settings, settings.topic_actions)]

        assert [("c1", "paused"), ("c2", "paused"), ("c3", "dry_run"), ("c4", "test_customer")] == [
            (item["customer_id"], item["reason"]) for item in held
        ]
        assert ["c1", "c2", "c4"] == [item["customer_id"] for item in sent]
        assert {item["action_id"] for item in held[:2]} == {item["action_id"] for item in sent[:2]}
        history = (await _call(settings, "rules", "history")).splitlines()
        assert [
            "switch 1  pause  by ann: the mailer is down",
            "switch 2  resume  by ann",
            "switch 3  dry run thanks  by bob",
            "switch 4  test customers c4  by bob",
            "switch 5  end of dry run thanks  by bob",
            "switch 6  no test customers c4  by bob",
        ] == [line.partition("Z  ")[2] for line in history]

    asyncio.run(scenario())


async def _call(settings: Settings, *arguments: str) -> str:
    """The command in a process of its own, as a person would run it."""
    changed = {f"WINBACK_{f.upper()}": str(v) for f, v in msgspec.structs.asdict(settings).items() if v != ""}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "stream", *arguments],
        env=os.environ | changed,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout.strip()


async def _buy(settings: Settings, customer: str) -> None:
    """One order, applied."""
    before = await consumed(settings, settings.topic_purchases)
    name, now = f"o{before}", to_text(WallClock().now_ms())
    body = message("Order Completed", customer, now, message_id=name, order_id=name, revenue=9.0)
    await produce(settings, settings.topic_purchases, [(customer.encode(), orjson.dumps(body))])
    await until(lambda: _applied(settings, before + 1))


async def _applied(settings: Settings, number: int) -> bool:
    return await consumed(settings, settings.topic_purchases) >= number


async def _has(settings: Settings, *, actions: int = 0, suppressed: int = 0) -> bool:
    return (
        len(await committed(settings, settings.topic_actions)) >= actions
        and len(await committed(settings, settings.topic_suppressions)) >= suppressed
    )
