"""``winback rules publish | diff | history | rollback | status``: the rules that running workers go by."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import click
from aiokafka.errors import KafkaConnectionError, KafkaError

from stream.agents.publishing import publish as publish_record
from stream.agents.publishing import read_published
from stream.config import Settings
from stream.environment import read_settings
from stream.errors import BrokerUnavailable, CommandError
from stream.events.instants import to_text
from stream.rules import published as pub
from stream.rules.difference import difference
from stream.rules.loader import load_rules, parse_rules, read_rules
from stream.rules.published import Published, RulesVersion
from stream.rules.switches import told

_Result = TypeVar("_Result")
_Command = TypeVar("_Command", bound=Callable[..., Any])

BY = click.option("--by", required=True, metavar="NAME", help="Who does this; it is kept for ever.")
NOTE = click.option("--note", default="", metavar="TEXT", help="Why.")


def connected(command: _Command) -> _Command:
    """The options that say which workers are meant."""
    command = click.option("--app-id", metavar="NAME", help="The workers' app id.")(command)
    return click.option("--broker", metavar="kafka://HOST:PORT[,…]", help="Kafka bootstrap address.")(command)


def settings_of(broker: str | None, app_id: str | None) -> Settings:
    """The settings of the workers that are meant."""
    return read_settings({"broker": broker, "app_id": app_id}, os.environ)


def asked(settings: Settings, work: Coroutine[Any, Any, _Result]) -> _Result:
    """The result of talking to the broker, or an error that says that none answers."""
    try:
        return asyncio.run(work)
    except KafkaConnectionError as error:
        raise BrokerUnavailable(f"no Kafka broker answers at {settings.broker}") from error
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable(f"the Kafka broker at {settings.broker} answered {error!r}") from error


def now_ms() -> int:
    """The instant of a publication."""
    return time.time_ns() // 1_000_000


@click.command(short_help="Make the rules of a folder live.")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@BY
@NOTE
@click.option("--expect", type=click.IntRange(0), metavar="VERSION", help="Only if this version is live (0: none yet).")
@connected
def publish(folder: str, by: str, note: str, expect: int | None, broker: str | None, app_id: str | None) -> None:
    """Check the rule files in DIR and make them live on all workers, all of them at once, without a restart.

    Every mistake is told, and with one nothing is published. A rule that has changed needs a higher `version:`. Timers of a
    rule that is new begin now: whoever was silent long before isn't written to.

    \b
    Examples:
      winback rules publish ./rules --by ann --note "spring offers"
      winback rules publish ./rules --by ann --expect 11
    """
    settings = settings_of(broker, app_id)
    own, files = load_rules(settings.rules_dir), read_rules(folder)

    def make(found: Published) -> RulesVersion:
        live = 0 if found.current is None else found.current.number
        if expect is not None and live != expect:
            raise CommandError([f"version {live} of the rules is live, not {expect}: somebody else has published"])
        return pub.next_version(found, own, files, by=by, at_ms=now_ms(), note=note)

    click.echo(_told(asked(settings, publish_record(settings, make))))


@click.command(short_help="Show what publishing a folder would change.")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False))
@connected
def diff(folder: str, broker: str | None, app_id: str | None) -> None:
    """Compare the rule files in DIR with the rules that are live: added (+), removed (-), changed field by field (~)."""
    settings = settings_of(broker, app_id)
    new = parse_rules(read_rules(folder))
    found = asked(settings, read_published(settings))
    lines = difference(pub.rule_set(found, load_rules(settings.rules_dir)), new)
    click.echo("\n".join(lines) if lines else "nothing would change")


@click.command(short_help="Show who published what, and who switched what.")
@connected
def history(broker: str | None, app_id: str | None) -> None:
    """Every version of the rules and every switch (pauses, dry runs, test customers), oldest first, with who, when and why."""
    settings = settings_of(broker, app_id)
    found = asked(settings, read_published(settings))
    events = [
        (v.at_ms, f"version {v.number}", f"{len(v.files)} rules ({v.rules_version})", v.by, v.note)
        for v in found.versions
    ]
    events += [(s.at_ms, f"switch {s.number}", s.did, s.by, s.note) for s in found.switches]
    for at_ms, what, did, by, note in sorted(events):
        click.echo(f"{to_text(at_ms)}  {what}  {did}  by {by}" + (f": {note}" if note else ""))


@click.command(short_help="Make an earlier version live again.")
@click.argument("version", type=click.IntRange(1))
@BY
@NOTE
@connected
def rollback(version: int, by: str, note: str, broker: str | None, app_id: str | None) -> None:
    """Publish the rules of VERSION once more, as a new version."""
    settings = settings_of(broker, app_id)
    own = load_rules(settings.rules_dir)

    def make(found: Published) -> RulesVersion:
        return pub.rolled_back(found, own, version, by=by, at_ms=now_ms(), note=note)

    click.echo(_told(asked(settings, publish_record(settings, make))))


@click.command(short_help="Show which rules are live and what is switched.")
@connected
def status(broker: str | None, app_id: str | None) -> None:
    """The version that is live, who published it, and what is switched."""
    settings = settings_of(broker, app_id)
    found = asked(settings, read_published(settings))
    click.echo(_told(found.current) if found.current else "nothing is published: workers go by their own rules")
    click.echo("\n".join(told(found.switched)))


def _told(version: RulesVersion) -> str:
    return f"version {version.number}: {len(version.files)} rules ({version.rules_version}), by {version.by}"
