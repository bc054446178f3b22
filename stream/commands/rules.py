"""``winback rules``: rule files checked and listed, without a worker."""

from __future__ import annotations

import os

import click
from rich.console import Console
from rich.table import Table

from stream.commands.rehearsal import dry
from stream.commands.rules_live import diff, history, publish, rollback, status
from stream.environment import read_settings
from stream.rules.loader import load_rules
from stream.rules.reference import when_in_calendar
from stream.rules.rule import Before, OnAlert, OnEvent, Rule, Since
from stream.rules.rule_file import duration_text

_FOLDER = click.argument("folder", metavar="[DIR]", required=False, type=click.Path(file_okay=True))


@click.group(short_help="Check, list, compare and publish rules, without a restart.")
def rules() -> None:
    """Rules say who gets which action when: one YAML file a rule, all of a folder (docs/rules.md teaches the language).

    Without DIR it is the folder of the setting `rules_dir`, else the rules that come with Winback.
    """


@rules.command(short_help="Find every mistake in the rule files.")
@_FOLDER
def check(folder: str | None) -> None:
    """Read all rule files in DIR as a worker would, and report every mistake at once with file, line and column.

    Exit code: 0 all fine, 1 mistakes.

    \b
    Examples:
      winback rules check
      winback rules check ./rules
    """
    count = len(load_rules(_chosen(folder)).rules)
    click.echo(f"{count} rules are fine" if count != 1 else "1 rule is fine")


@rules.command("list", short_help="Show what the rules do.")
@_FOLDER
def list_(folder: str | None) -> None:
    """Show every rule in DIR, most important first: when it is asked, under which condition, and what it does."""
    found = load_rules(_chosen(folder))
    console = Console()
    if console.is_terminal:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 1, 0))
    else:
        # In a pipe a row is a line, whatever its length.
        console, table = Console(width=1_000), Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("rule", style="bold", no_wrap=True)
    for name in ("asked", "if", "does", "by"):
        table.add_column(name, overflow="fold")
    table.add_column("priority", justify="right", no_wrap=True)
    for rule in sorted(found.rules, key=lambda rule: (-rule.priority, rule.id)):
        condition = " ".join(rule.condition.text.split())
        row = (
            rule.id,
            asked(rule),
            condition,
            does(rule),
            " or ".join(rule.channels or (rule.channel,)),
            str(rule.priority),
        )
        table.add_row(*(cell.replace("[", "\\[") for cell in row))
    console.print(table)


for _command in (diff, publish, history, rollback, status, dry):
    rules.add_command(_command)


def asked(rule: Rule) -> str:
    """The trigger in words.

    >>> asked(load_rules().by_id["repurchase-reminder"]), asked(load_rules().by_id["churn-recall"])
    ('3d before the expected purchase', 'at a churn alert')
    """
    trigger = rule.trigger
    if isinstance(trigger, Since):
        return f"{duration_text(trigger.after_ms)} after the {_words(trigger.anchor)}"
    if isinstance(trigger, Before):
        return f"{duration_text(trigger.before_ms)} before the {_words(trigger.target)}"
    if isinstance(trigger, OnAlert):
        return f"at a {_words(trigger.alert)} alert"
    if isinstance(trigger, OnEvent):
        return "at each event: " + ", ".join(_words(kind) for kind in trigger.kinds)
    return _words(when_in_calendar(trigger))


def does(rule: Rule) -> str:
    """The action with what it offers.

    >>> does(load_rules().by_id["cart-abandoned"])
    'reminder, free shipping for 2d'
    """
    offer = rule.offer
    if offer is None:
        return rule.action
    value = {"percent": f"{offer.value} %", "amount_minor": f"{offer.value} minor units", "points": f"{offer.value} points",
             "free_shipping": "free shipping"}[offer.kind]  # fmt: skip
    limit = f" for {duration_text(offer.valid_for_ms)}" if offer.valid_for_ms else ""
    return f"{rule.action}, {value}{limit}"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _chosen(folder: str | None) -> str:
    return folder if folder is not None else read_settings({}, os.environ).rules_dir
