"""``winback pause`` and ``winback resume``: hold all actions back, or those of one rule, on all workers at once."""

from __future__ import annotations

import click

from stream.agents.publishing import publish
from stream.commands.rules_live import BY, NOTE, asked, connected, now_ms, settings_of
from stream.errors import CommandError
from stream.rules.loader import load_rules
from stream.rules.published import Published, Switched, rule_set
from stream.rules.switches import switched, told

_RULE = click.option("--rule", "rule_id", default="", metavar="ID", help="Only this rule.")


@click.command(short_help="Hold all actions back, on all workers at once.")
@BY
@NOTE
@_RULE
@connected
def pause(by: str, note: str, rule_id: str, broker: str | None, app_id: str | None) -> None:
    """Hold back every action from now on, until `winback resume`; a restart changes nothing about it.

    Events are still taken and decisions made; they are put off, and go on as soon as the pause ends unless they are worthless
    by then.

    \b
    Examples:
      winback pause --by ann --note "the mailer is down"
      winback pause --rule cart-abandoned --by ann
    """
    _switch("pause", by, note, rule_id, broker, app_id)


@click.command(short_help="End a pause.")
@BY
@NOTE
@_RULE
@connected
def resume(by: str, note: str, rule_id: str, broker: str | None, app_id: str | None) -> None:
    """End the pause of everything, or of one rule. What has waited for it is judged again and goes out at once."""
    _switch("resume", by, note, rule_id, broker, app_id)


def _switch(did: str, by: str, note: str, rule_id: str, broker: str | None, app_id: str | None) -> None:
    settings = settings_of(broker, app_id)
    own = load_rules(settings.rules_dir)

    def make(found: Published) -> Switched:
        if did == "pause" and rule_id and rule_id not in (live := rule_set(found, own)).by_id:
            raise CommandError([f"no rule is called {rule_id}; there are: {', '.join(live.by_id)}"])
        return switched(found.switched, did, by=by, note=note, rule_id=rule_id, at_ms=now_ms())

    click.echo("\n".join(told(asked(settings, publish(settings, make)))))
