"""``winback rules dry`` and ``winback test-customers``: decide and send nothing, for one rule or for some customers."""

from __future__ import annotations

import click

from stream.agents.publishing import publish, read_published
from stream.commands.rules_live import BY, NOTE, asked, connected, now_ms, settings_of
from stream.errors import CommandError
from stream.rules.loader import load_rules
from stream.rules.published import Published, Switched, rule_set
from stream.rules.switches import dry as dry_run
from stream.rules.switches import rehearsed, told
from stream.rules.vocabulary import closest

_CUSTOMERS = click.argument("customers", metavar="CUSTOMER_ID…", nargs=-1, required=True)


@click.command(short_help="Let a rule decide without sending anything.")
@click.argument("rule_id", metavar="RULE")
@click.option("--off", is_flag=True, help="End the dry run: it sends again.")
@BY
@NOTE
@connected
def dry(rule_id: str, off: bool, by: str, note: str, broker: str | None, app_id: str | None) -> None:
    """Have RULE decide as ever and send nothing, on all workers from their next step on, until `--off`.

    Its decisions are published as suppressed with the reason `dry_run`. A rule whose file says `status: dry_run` doesn't need it,
    and `--off` doesn't make it send.

    \b
    Examples:
      winback rules dry cart-abandoned --by ann --note "is the new condition too wide?"
      winback rules dry cart-abandoned --by ann --off
    """
    settings = settings_of(broker, app_id)
    own = load_rules(settings.rules_dir)

    def make(found: Published) -> Switched:
        live = rule_set(found, own).by_id
        if not off and rule_id not in live:
            hint = closest(rule_id, live)
            raise CommandError([f"no rule is called {rule_id}" + (f"; did you mean {hint}?" if hint else "")])
        return dry_run(found.switched, rule_id, off=off, by=by, note=note, at_ms=now_ms())

    click.echo("\n".join(told(asked(settings, publish(settings, make)))))


@click.group("test-customers", short_help="Customers for whom everything is decided and nothing sent.")
def test_customers() -> None:
    """Customers for whom everything is decided as for others, and nothing is sent: your colleagues, or a customer of your own.

    Those of the setting `test_customers` are so besides.
    """


@test_customers.command(short_help="Send these customers nothing any more.")
@_CUSTOMERS
@BY
@NOTE
@connected
def add(customers: tuple[str, ...], by: str, note: str, broker: str | None, app_id: str | None) -> None:
    """Make them test customers, on all workers from their next step on.

    \b
    Examples:
      winback test-customers add ann-test bob-test --by ann
    """
    _switch(customers, False, by, note, broker, app_id)


@test_customers.command(short_help="Make them customers like all others again.")
@_CUSTOMERS
@BY
@NOTE
@connected
def remove(customers: tuple[str, ...], by: str, note: str, broker: str | None, app_id: str | None) -> None:
    """Make them customers like all others again: what is decided from then on is sent."""
    _switch(customers, True, by, note, broker, app_id)


@test_customers.command("list", short_help="Show them.")
@connected
def list_(broker: str | None, app_id: str | None) -> None:
    """Show the test customers, one a line: those of the setting and those that were added."""
    settings = settings_of(broker, app_id)
    found = asked(settings, read_published(settings)).switched.test_customers
    for name in sorted({*found, *filter(None, (word.strip() for word in settings.test_customers.split(",")))}):
        click.echo(name)


def _switch(
    customers: tuple[str, ...], remove: bool, by: str, note: str, broker: str | None, app_id: str | None
) -> None:
    settings = settings_of(broker, app_id)

    def make(found: Published) -> Switched:
        known = found.switched.test_customers
        unknown = [name for name in customers if remove and name not in known]
        if unknown:
            raise CommandError([f"no test customer is called {name}; there are: {_all(known)}" for name in unknown])
        return rehearsed(found.switched, customers, remove=remove, by=by, note=note, at_ms=now_ms())

    click.echo("\n".join(told(asked(settings, publish(settings, make)))))


def _all(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"
