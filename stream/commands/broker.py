"""``winback broker``: the embedded Kafka alone."""

from __future__ import annotations

import signal
from pathlib import Path

import click
from rich.console import Console

from stream.adapters.broker import KAFKA_VERSION, EmbeddedBroker
from stream.config import Settings


@click.command(
    "broker",
    short_help="Run Apache Kafka on this machine.",
    help=f"""\
    Run a real Apache Kafka {KAFKA_VERSION} on this machine until Ctrl-C: no Docker, no Java, nothing to install.

    The first start fetches Kafka (37 MB) and keeps it; later ones need no network and take a few seconds. The address
    that clients connect to is printed on standard output once the broker answers, so a script can wait for that line.

    Data stays in the folder and is there at the next start. To begin anew, stop the broker and delete DATA-DIR/broker.
    When Kafka doesn't start, DATA-DIR/broker/broker.log says why.

    With --nodes 3, topics have three replicas of which two must be in sync: any one node may die without loss. The
    nodes listen on --port and the two ports after it.

    \b
    Examples:
      winback broker
      winback broker --port 29092 --data-dir /tmp/shop
      winback broker --nodes 3
    """,
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=9_092,
    show_default=True,
    help="Port on 127.0.0.1 that clients connect to; 0: any free one.",
)
@click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(Settings().data_dir),
    show_default=True,
    envvar="WINBACK_DATA_DIR",
    help="Folder that keeps the data, in its subfolder `broker`.",
)
@click.option(
    "--nodes",
    type=click.IntRange(1, 9),
    default=1,
    show_default=True,
    help="Kafka nodes, each a process of some 300 MB; 3 or more survive the loss of one.",
)
@click.option(
    "--maven-repository",
    metavar="URL",
    envvar="WINBACK_MAVEN_REPOSITORY",
    help="Where the first start fetches Kafka from, if not from Maven Central.",
)
def broker(port: int, data_dir: Path, nodes: int, maven_repository: str | None) -> None:
    """Run the embedded broker until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    kafka = EmbeddedBroker(data_dir / "broker", port=port, nodes=nodes, maven_repository=maven_repository)
    try:
        with Console(stderr=True).status("preparing") as status:
            kafka.start(status.update)
        click.echo(kafka.bootstrap)
        click.echo(f"Use it: winback worker --broker kafka://{kafka.bootstrap}   (Ctrl-C stops the broker)", err=True)
        kafka.wait()
    except KeyboardInterrupt:
        click.echo(f"Stopping Kafka; its data stays in {kafka.data_dir}", err=True)
    finally:
        kafka.stop()
