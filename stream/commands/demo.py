"""``winback demo``: broker, worker, shop and live view on this machine, in one terminal."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import click
import msgspec
import orjson
import uvloop
from rich.console import Console

from stream.adapters.broker import EmbeddedBroker
from stream.adapters.broker.node import check_port, free_ports
from stream.commands.demo_shop import ShopPlay, shop_settings
from stream.commands.demo_show import Show
from stream.commands.demo_stage import Screen, begin_anew, perform
from stream.commands.demo_summary import in_words
from stream.commands.demo_topics import Taker, TopicReader, make_topics
from stream.commands.live import export_svg
from stream.config import Settings
from stream.environment import read_settings
from stream.errors import WinbackError
from stream.worker import set_up_logging

SHOP_CUSTOMERS = 1_000
"""Customers in the simulated shop's first months. Fewer: the model waits longer for its labels; more: a longer start."""


class Interrupted(WinbackError):
    """A data set was not played to its end, so there is no summary of it."""

    operator_action = "let it run to the end, which takes some minutes; each start begins anew"


class Play(Protocol):
    """What is on tonight."""

    async def play(self) -> None:
        """Feeds the topics and starts the worker."""

    def takers(self) -> dict[str, Taker]:
        """What else to do with the records of some topics."""

    def summary(self) -> dict[str, Any]:
        """What is told at the end, besides what every run tells."""


@click.command(short_help="See it work: embedded Kafka, a worker and a simulated shop.")
@click.option("--dataset", type=click.Choice(["cdnow"]), help="Play a real shop's orders to the end instead.")
@click.option("--customers", type=click.IntRange(min=100), metavar="N",
              help=f"Customers at first.  [default: {SHOP_CUSTOMERS:,}; of the data set: all]")  # fmt: skip
@click.option("--rate", type=click.FloatRange(min=1, max=20_000), default=400.0, show_default=True, metavar="N",
              help="Events a second of the simulated shop; its time runs as fast as that takes.")  # fmt: skip
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed gives the same shop.")
@click.option("--data-dir", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Keeps Kafka's data and the worker's log, in its subfolder `demo`.  [default: .winback]")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65_535), default=9_092, show_default=True,
              help="Port of Kafka on 127.0.0.1; 0: any free one.")  # fmt: skip
@click.option("--web-port", type=click.IntRange(0, 65_535), metavar="PORT",
              help="Port of the worker's HTTP API; 0: any free one.  [default: 6066]")  # fmt: skip
@click.option("--duration", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
              help="End by itself after so long.")  # fmt: skip
@click.option("--picture", "picture_file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.svg",
              help="Write the last view as a picture.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="No view; print the summary as one JSON object and nothing else.")
def demo(
    dataset: str | None, customers: int | None, rate: float, seed: int, data_dir: Path | None, port: int,
    web_port: int | None, duration: float | None, picture_file: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """See Winback work, with nothing but Python on this machine: Apache Kafka, a worker, a shop, and a live view.

    The simulated shop has a time of its own, which the view shows: its first nine months pass in about half a minute, then
    about a day a second. So one sees reminders, lapses and labels that would take months. Ctrl-C ends all of it.

    With --dataset cdnow the 69,659 real orders of the CD shop CDNOW (1997/98) go through Kafka to the end, each at its own
    time; then a summary is printed, with how well the churn model had foretold who would not come back.

    While it runs, other terminals can look in (ports as shown):

    \b
      winback customer C-000042
      curl http://127.0.0.1:6066/metrics
      kcat -C -b 127.0.0.1:9092 -t crm.actions.v1 -X isolation.level=read_committed

    Every start begins anew: nothing of an earlier demo is kept.

    \b
    Examples:
      winback demo
      winback demo --customers 5000 --rate 2000 --duration 120
      winback demo --dataset cdnow --json > summary.json
    """
    began = time.monotonic()
    flags = {"data_dir": None if data_dir is None else str(data_dir), "web_port": web_port}
    settings = read_settings(flags, os.environ)
    set_up_logging("error")
    folder = Path(settings.data_dir).resolve() / "demo"
    begin_anew(folder)
    web = settings.web_port or free_ports(1)[0]
    for number in (port, web):
        if number:
            check_port(number)
    settings = msgspec.structs.replace(
        settings, web_host="127.0.0.1", web_port=web, kafka_security="plaintext", replication_factor=1
    )
    make_run = _shop(customers, rate, seed) if dataset is None else _cdnow(customers)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    told = Console(stderr=True)
    kafka = EmbeddedBroker(folder / "broker", port=port)
    try:
        with told.status("preparing") as status:
            kafka.start(status.update)
        run = make_run(msgspec.structs.replace(settings, broker=f"kafka://{kafka.bootstrap}"), folder)
        told.print(f"The worker's log: {run.log}", highlight=False, soft_wrap=True)
        finished = uvloop.run(run(kafka, duration, as_json))
        told.print("Stopping Kafka", highlight=False)
    except KeyboardInterrupt:
        told.print("Stopped", highlight=False)
        return
    finally:
        kafka.stop()
    if dataset is not None and not finished:
        raise Interrupted(f"{dataset} was stopped before its end")
    if picture_file is not None:
        export_svg(run.show.figures, picture_file)
    summary = run.summary() | {"seconds": round(time.monotonic() - began, 1)}
    click.echo(orjson.dumps(summary) if as_json else in_words(summary), nl=as_json)


def _shop(customers: int | None, rate: float, seed: int) -> Callable[[Settings, Path], _Run]:
    def make(settings: Settings, folder: Path) -> _Run:
        play = partial(ShopPlay, customers=customers or SHOP_CUSTOMERS, rate=rate, seed=seed)
        return _Run(shop_settings(settings), folder, "simulated shop", play)

    return make


def _cdnow(customers: int | None) -> Callable[[Settings, Path], _Run]:
    # Scoring needs the processor, whose model library takes a second to import: the shop's first view needn't wait for it.
    from stream.commands.demo_cdnow import CdnowPlay, cdnow_settings, orders_of
    from stream.datasets import CDNOW_END

    # Read before anything is started: the package with the data may be missing.
    play = partial(CdnowPlay, events=orders_of(customers))
    return lambda settings, folder: _Run(cdnow_settings(settings), folder, "CDNOW", play, "--until", CDNOW_END)


class _Run:
    """What the two kinds of demo have in common."""

    def __init__(
        self, settings: Settings, folder: Path, title: str, play: Callable[[Show], Play], *arguments: str
    ) -> None:
        self._settings = settings
        self.log = folder / "worker.log"
        self.show = Show(settings, self.log, title, *arguments)
        self.play = play(self.show)

    async def __call__(self, kafka: EmbeddedBroker, duration: float | None, as_json: bool) -> bool:
        """``True`` if the play came to its own end."""
        layout = await make_topics(self._settings)
        reader = TopicReader(layout, {**self.show.takers(), **self.play.takers()})
        screen = Screen(self.show.figures, as_json)
        return await perform(self.show, reader, screen, kafka, self.play.play(), duration)

    def summary(self) -> dict[str, Any]:
        """All that is told at the end."""
        return {**self.play.summary(), **self.show.summary()}
