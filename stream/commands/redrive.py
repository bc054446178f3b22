"""``winback redrive``: sends dead letters back to the topics that they came from."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path

import click
import msgspec

from stream.agents.redrive import Letter, Redriven, read_letters, redrive_letters
from stream.environment import read_settings
from stream.errors import CommandError


class Mended(msgspec.Struct, forbid_unknown_fields=False):
    """One line of a mending file: which letter, and its new value (``null``: as it was)."""

    partition: int
    offset: int
    value: str | None = None


@click.command(short_help="Send dead letters back to where they came from.")
@click.argument("topic", metavar="TOPIC.dlq")
@click.option("--broker", metavar="kafka://HOST:PORT[,…]", help="Kafka bootstrap address.")
@click.option("--app-id", metavar="NAME", help="The worker's app id.")
@click.option(
    "--max", "most", type=click.IntRange(1), help="At most so many letters; the next call goes on behind them."
)
@click.option("--list", "listing", is_flag=True, help="Print the letters as JSON Lines and send nothing.")
@click.option(
    "--mend",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON Lines with partition, offset and the new value, as --list prints them: these letters go back mended.",
)
def redrive(
    topic: str, broker: str | None, app_id: str | None, most: int | None, listing: bool, mend: Path | None
) -> None:
    """Send dead letters back to their source topic, each exactly once.

    Fix first what made them fail: the rule, the setting, the sender, or the letters themselves (--list, edit, --mend).
    A letter that fails again comes back with a higher attempt; after WINBACK_REDRIVE_ATTEMPTS it stays where it is. How
    far the topic has been redriven is remembered, so calling this again takes only what came since.

    \b
    Examples:
      winback redrive crm.purchases.v1.dlq --list > letters.jsonl
      winback redrive crm.purchases.v1.dlq --mend letters.jsonl
      winback redrive crm.purchases.v1.dlq --max 100
    """
    settings = read_settings({"broker": broker, "app_id": app_id}, os.environ)
    if listing:
        for letter in asyncio.run(read_letters(settings, topic, most)):
            click.echo(_line(letter))
        return
    mended = _mended(mend) if mend is not None else {}
    done = asyncio.run(redrive_letters(settings, topic, most, mended))
    click.echo(_summary(done, topic, len(mended)))


def _line(letter: Letter) -> bytes:
    try:
        value: str | None = None if letter.value is None else letter.value.decode()
        encoded = None
    except UnicodeDecodeError:
        value, encoded = None, base64.b64encode(letter.value or b"").decode()
    shown = {
        "partition": letter.partition,
        "offset": letter.offset,
        "stage": letter.header("dlq-stage"),
        "reason": letter.header("dlq-reason"),
        "field": letter.header("dlq-field"),
        "message": letter.header("__streams.errors.message"),
        "attempt": letter.attempt,
        "value": value,
    }
    return msgspec.json.encode(shown if encoded is None else shown | {"value_base64": encoded})


def _mended(path: Path) -> dict[tuple[int, int], bytes]:
    mended, problems = {}, []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if line.strip():
            try:
                letter = msgspec.json.decode(line, type=Mended)
            except msgspec.DecodeError as error:
                problems.append(f"{path}:{number}: {error}")
            else:
                if letter.value is not None:
                    mended[letter.partition, letter.offset] = letter.value.encode()
    if problems:
        raise CommandError(problems)
    return mended


def _summary(done: Redriven, topic: str, mended: int) -> str:
    lines = [f"{done.sent} dead letters of {topic} sent back to {done.source}"]
    if mended:
        lines.append(f"{done.mended} of them mended ({mended} in the file)")
    if done.given_up:
        lines.append(f"{done.given_up} stay where they are: sent back often enough (WINBACK_REDRIVE_ATTEMPTS)")
    return "\n".join(lines)
