"""``winback product`` against a worker's web port."""

from __future__ import annotations

import orjson
from click.testing import CliRunner

from stream.cli import main
from tests.commands.test_customer import serving


def test_a_product_is_shown_with_its_figures() -> None:
    """A table for people, the worker's answer for programs, and words for what isn't counted."""
    with serving() as url:
        shown = CliRunner().invoke(main, ["product", "tea [green]", "--url", url])
        told = CliRunner().invoke(main, ["product", "tea [green]", "--url", url, "--json"])
        unknown = CliRunner().invoke(main, ["product", "vase", "--url", url])

    assert shown.exit_code == 0 and "in 62.50% of the orders" in shown.output and "cup [blue]" in shown.output
    (together,) = orjson.loads(told.output)["together"]
    assert together == {
        "product_id": "cup [blue]", "because_of": "tea [green]", "how": "together", "support": 0.5, "confidence": 0.8,
        "lift": 1.6, "orders": 4.0,
    }  # fmt: skip
    assert unknown.exit_code == 1 and "knows no product 'vase'" in unknown.output
