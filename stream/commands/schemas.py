"""``winback schemas``: the message contract."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from stream import contract


@click.command(short_help="Print, write or check the message contract.")
@click.argument("name", required=False)
@click.option(
    "--check", is_flag=True, help="Compare the generated files in --dir with the code; exit 1 when they differ."
)
@click.option("--write", "do_write", is_flag=True, help="Write the generated files to --dir.")
@click.option("--dir", "folder", default="schemas", show_default=True, type=click.Path(path_type=Path, file_okay=False))
def schemas(name: str | None, check: bool, do_write: bool, folder: Path) -> None:
    """List the schemas, print one by NAME, or check and write the files that other teams read.

    \b
    Examples:
      winback schemas
      winback schemas input/order-completed.schema.json
      winback schemas asyncapi.yaml
      winback schemas --check
    """
    if do_write:
        click.echo(f"{contract.write(folder)} files written to {folder}/")
    elif check:
        found = contract.problems(folder)
        for line in found:
            click.echo(line, err=True)
        if found:
            click.echo("run `winback schemas --write` and commit the result", err=True)
            sys.exit(1)
        click.echo(f"{len(contract.files())} files in {folder}/ are current")
    elif name:
        content = contract.files().get(name)
        if content is None:
            raise click.BadParameter(f"no schema {name!r}; `winback schemas` lists them")
        click.echo(content.decode(), nl=False)
    else:
        for path in contract.files():
            click.echo(path)
