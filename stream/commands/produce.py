"""``winback produce``: events from a file onto the input topics, by kind and by customer."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from stream.adapters.files import Counted
from stream.adapters.files_routing import route, topic_names
from stream.adapters.files_send import BulkSender
from stream.agents.connection import client_options
from stream.agents.topics import ensure_topics
from stream.config import Settings
from stream.environment import read_settings
from stream.errors import BrokerUnavailable
from stream.worker import set_up_logging

LINES_A_STEP = 5_000
"""Lines between two looks at the broker and the progress bar. More: more memory; fewer: more waiting."""
SLICES_A_SECOND = 50
"""With ``--rate``, lines leave in this many portions a second: smooth to the eye, and cheap."""


class Sent(msgspec.Struct):
    """What `produce` did: lines by topic, what the routing couldn't tell, and what the broker refused."""

    lines: int = 0
    bytes: int = 0
    by_topic: dict[str, int] = msgspec.field(default_factory=dict)
    unclear: int = 0
    """Lines whose kind can't be told: broken ones, and events that Winback doesn't know."""
    refused_as_too_large: int = 0
    seconds: float = 0.0

    @property
    def lines_per_second(self) -> float:
        """Throughput from the first line read to the last one acknowledged."""
        return self.lines / self.seconds if self.seconds else 0.0


async def send_file(
    path: Path, settings: Settings, *, rate: float = 0.0, unclear_topic: str = "",
    on_progress: Callable[[int, int, int], None] = lambda lines, position, size: None,
) -> Sent:  # fmt: skip
    """Send every line of a JSON Lines file (``-``: standard input) and return when all are acknowledged.

    Bytes go out as they are, broken lines too: judging is the worker's work, and its dead letters show what came.
    ``rate`` is in lines a second, 0 for as fast as possible. ``on_progress(lines, bytes read, bytes in all)``.

    Raises `UnreadableFileError`, `BrokerUnavailable` and `TopicError`.
    """
    names = topic_names(settings)
    elsewhere = unclear_topic or settings.topic_purchases
    sent = Sent()

    def refused(topic: str, size: int) -> None:
        sent.refused_as_too_large += 1

    file = Counted(Path("/dev/stdin") if str(path) == "-" else path)
    try:
        await make_topics(settings)
        async with BulkSender(client_options(settings), refused) as sender:
            await sender.open_topics([*settings.input_topics, elsewhere])
            begin = time.perf_counter()
            step = max(1, int(rate / SLICES_A_SECOND)) if rate else LINES_A_STEP
            by_topic: dict[str, int] = {}
            for line in file.lines():
                if not line.strip():
                    continue
                kind, key = route(line)
                if not kind:
                    sent.unclear += 1
                topic = names.get(kind, elsewhere)
                sender.add(topic, key, line)
                by_topic[topic] = by_topic.get(topic, 0) + 1
                sent.lines += 1
                sent.bytes += len(line)
                if sent.lines % step == 0:
                    if rate:
                        await sender.flush()
                        await asyncio.sleep(max(0.0, begin + sent.lines / rate - time.perf_counter()))
                    else:
                        await sender.hand_over()
                    on_progress(sent.lines, file.position, file.size)
            await sender.flush()
            sent.seconds = time.perf_counter() - begin
            sent.by_topic = dict(sorted(by_topic.items()))
            on_progress(sent.lines, file.size, file.size)
    finally:
        file.close()
    return sent


async def make_topics(settings: Settings) -> None:
    """Create the topics that are missing, as the worker does: a file may be sent before the first worker starts."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
        await ensure_topics(admin, settings)
    except KafkaConnectionError as error:
        raise BrokerUnavailable(f"no Kafka broker answers at {settings.broker}") from error
    finally:
        await admin.close()


def file_progress(console: Console) -> Progress:
    """A progress bar over a file's bytes with a count beside it; silent when nobody watches."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(bar_width=None), TaskProgressColumn(),
        TextColumn("{task.fields[count]}"), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip


@click.command("produce", short_help="Send events from a JSON Lines file to the input topics.")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@click.option("--broker", help="Kafka address, kafka://host:port[,host:port].  [default: setting `broker`]")
@click.option("--topic", default="", help="Where lines go whose kind can't be told.  [default: the purchases topic]")
@click.option("--rate", type=click.FloatRange(min=0), default=0.0, metavar="N", help="Lines a second; 0 is full speed.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def produce(file: Path, broker: str | None, topic: str, rate: float, as_json: bool) -> None:
    """Send the events in FILE, one JSON object a line, to the input topics.

    Each line is a Segment message, or a CloudEvent (structured) around one. Its kind chooses the topic: orders go to
    purchases; views, carts and sessions to browses; reviews and answers to feedback; identify and consent to profiles;
    what became of actions to outcomes. Its customer is the key, hashed as Kafka's Java client does.

    Lines are not judged here. A broken line goes out unchanged (to --topic), and the worker puts it on the dead-letter
    topic with the reason. FILE may be gzipped; `-` reads standard input.

    \b
    Examples:
      winback produce events.jsonl
      winback produce --rate 200 yesterday.jsonl.gz
      kcat -C -t shop.events -e | winback produce -
    """
    settings = read_settings({"broker": broker}, os.environ)
    set_up_logging(settings.log_level)
    bar = file_progress(Console(stderr=True))
    with bar:
        task = bar.add_task(f"sending {file}", total=None, count="")

        def show(lines: int, position: int, size: int) -> None:
            bar.update(task, completed=position, total=size or None, count=f"{lines:,} lines")

        sent = asyncio.run(send_file(file, settings, rate=rate, unclear_topic=topic, on_progress=show))
    if as_json:
        figures = msgspec.to_builtins(sent) | {"lines_per_second": round(sent.lines_per_second)}
        click.echo(msgspec.json.encode(figures))
        return
    click.echo(f"{sent.lines:,} lines sent in {sent.seconds:.1f} s ({sent.lines_per_second:,.0f} a second)")
    for name, count in sent.by_topic.items():
        click.echo(f"  {count:>12,}  {name}")
    if sent.unclear:
        click.echo(f"{sent.unclear:,} of them are broken or of no known kind; the worker's dead letters will say why")
    if sent.refused_as_too_large:
        click.echo(f"{sent.refused_as_too_large:,} refused by the broker: larger than its message.max.bytes", err=True)
        sys.exit(3)
