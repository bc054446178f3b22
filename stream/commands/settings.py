"""``winback settings``: the table of all settings."""

from __future__ import annotations

import click

from stream.config import SETTINGS


def markdown() -> str:
    """The table of the docs, one row a setting."""
    rows = ["| setting | variable | default | unit or values | meaning |", "|---|---|---|---|---|"]
    for row in SETTINGS:
        default = "" if row.default == "" else f"`{row.default}`"
        unit = row.help.unit or row.type_name.replace("|", "\\|")
        rows.append(f"| `{row.name}` | `{row.variable}` | {default} | {unit} | {row.help.text} |")
    return "\n".join(rows) + "\n"


@click.command(short_help="List every setting.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the table of the docs.")
def settings(as_markdown: bool) -> None:
    """List every setting with its default, its unit and its environment variable.

    Flags of a command win over the environment. A secret may be given as `file:/path`.
    """
    if as_markdown:
        click.echo(markdown(), nl=False)
        return
    for row in SETTINGS:
        unit = f" {row.help.unit}" if row.help.unit else ""
        click.echo(f"{row.variable} = {row.default!r}{unit}\n    {row.help.text}")
