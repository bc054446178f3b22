"""Dead letters go back to where they came from, once, and not for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from click.testing import CliRunner, Result

from stream.adapters.broker import EmbeddedBroker
from stream.agents.redrive import Redriven, redrive_letters
from stream.commands.redrive import redrive
from stream.config import Settings
from stream.worker import running_worker
from tests.agents.counting import POISON, counting_core
from tests.agents.harness import actions, committed, expected_actions, produce, settings_for, until


async def process(settings: Settings, letters: int, good: int) -> None:
    """Runs a worker until there are so many dead letters and actions."""
    async with running_worker(settings, core=counting_core(settings)):

        async def reached() -> bool:
            found = len(await committed(settings, f"{settings.topic_purchases}.dlq"))
            return found >= letters and len(await committed(settings, settings.topic_actions)) >= good

        await until(reached)


def call(settings: Settings, *arguments: str) -> Result:
    """The command as a person calls it."""
    environment = {f"WINBACK_{k.upper()}": str(v) for k, v in msgspec.structs.asdict(settings).items() if v != ""}
    return CliRunner().invoke(
        redrive, [f"{settings.topic_purchases}.dlq", *arguments], env=environment, catch_exceptions=False
    )


def test_a_mended_letter_goes_back_once(broker: EmbeddedBroker, tmp_path: Path) -> None:
    """List, mend, redrive: the mended event counts, and calling again sends nothing."""
    settings = settings_for(broker.bootstrap)

    async def fail() -> None:
        async with running_worker(settings, core=counting_core(settings)):
            pass
        await produce(settings, settings.topic_purchases, [(b"a", b"x"), (b"b", POISON), (b"c", POISON)])
        await process(settings, 2, 1)

    asyncio.run(fail())
    listed = [msgspec.json.decode(line) for line in call(settings, "--list").output.splitlines()]
    assert {("process", "processing_failed", "poison")} == {(x["stage"], x["reason"], x["value"]) for x in listed}
    file = tmp_path / "letters.jsonl"
    file.write_bytes(b"\n".join(msgspec.json.encode(letter | {"value": "mended"}) for letter in listed))

    first = call(settings, "--mend", str(file)).output
    second = call(settings).output
    asyncio.run(process(settings, 2, 3))

    assert "2 dead letters" in first and "2 of them mended" in first
    assert "0 dead letters" in second
    assert expected_actions({b"a": 1, b"b": 1, b"c": 1}) == asyncio.run(actions(settings))


def test_a_letter_that_fails_again_and_again_stays(broker: EmbeddedBroker) -> None:
    """After the given number of attempts a letter is sent back no more."""
    settings = settings_for(broker.bootstrap, redrive_attempts=2)
    topic = f"{settings.topic_purchases}.dlq"

    async def scenario() -> list[Redriven]:
        async with running_worker(settings, core=counting_core(settings)):
            pass
        await produce(settings, settings.topic_purchases, [(b"b", POISON)])
        done = []
        for round_ in range(3):
            await process(settings, round_ + 1, 0)
            done.append(await redrive_letters(settings, topic, None, {}))
        return done

    assert [(1, 0), (1, 0), (0, 1)] == [(each.sent, each.given_up) for each in asyncio.run(scenario())]
