"""``winback pause`` and ``winback resume``: hold all actions back, or those of one rule, on all workers at once."""

from __future__ import annotations

import click
import msgspec

from stream.agents.publishing import publish
from stream.commands.rules_live import BY, NOTE, asked, connected, now_ms, settings_of
from stream.errors import ConfigurationError
from stream.rules.loader import load_rules
from stream.rules.published import Published, Switched, paused, rule_set

_RULE = click.option("--rule", "rule_id", default="", metavar="ID", help="Only this rule.")


@click.command(short_help="Hold all actions back, on all workers at once.")
@BY
@NOTE
@_RULE
@connected
def pause(by: str, note: str, rule_id: str, broker: str | None, app_id: str | None) -> None:
    """Hold back every action from now on, until `winback resume`; a restart changes nothing about it.

    Events are still taken and decisions made; they are put off, and judged again within five minutes of the end of the pause
    unless they are worthless by then.

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
    """End the pause of everything, or of one rule."""
    _switch("resume", by, note, rule_id, broker, app_id)


def _switch(did: str, by: str, note: str, rule_id: str, broker: str | None, app_id: str | None) -> None:
    settings = settings_of(broker, app_id)
    own = load_rules(settings.rules_dir)

    def make(found: Published) -> Switched:
        if did == "pause" and rule_id and rule_id not in (live := rule_set(found, own)).by_id:
            raise ConfigurationError([f"no rule is called {rule_id}; there are: {', '.join(live.by_id)}"])
        return switched(found.switched, did, by=by, note=note, rule_id=rule_id, at_ms=now_ms())

    click.echo(paused(asked(settings, publish(settings, make))) or "nothing is paused")


def switched(before: Switched, did: str, *, by: str, note: str, rule_id: str, at_ms: int) -> Switched:
    """The switches after a pause or the end of one."""
    stopped = dict(before.stopped_rules)
    paused_by = before.paused_by
    if rule_id and did == "pause":
        stopped[rule_id] = by
    elif rule_id:
        stopped.pop(rule_id, None)
    else:
        paused_by = by if did == "pause" else ""
    return msgspec.structs.replace(
        before,
        number=before.number + 1,
        did=f"{did} {rule_id}".rstrip(),
        by=by,
        at_ms=at_ms,
        note=note,
        paused_by=paused_by,
        stopped_rules=stopped,
    )
