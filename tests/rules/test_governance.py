"""What is said of consent where nobody has said anything, and where somebody has."""

from __future__ import annotations

from typing import Literal

import pytest

from stream.actions.decision import Verdict
from stream.config import Settings
from stream.rules.governance import judge
from stream.rules.loader import load_rules
from stream.state.customer import Customer

NOW = 1_800_000_000_000


def _consent(customer: Customer, default: Literal["opt_in", "opt_out"]) -> Verdict:
    rule = load_rules().by_id["service-recovery"]
    verdicts = judge(rule, "c1", customer, NOW, NOW + 1, Settings(consent_default=default))
    return next(verdict for verdict in verdicts if verdict.check == "consent_missing")


@pytest.mark.parametrize(("default", "passed"), [("opt_in", False), ("opt_out", True)])
def test_silence_means_what_the_shop_says(default: Literal["opt_in", "opt_out"], passed: bool) -> None:
    """Who has said nothing may be contacted in a shop where one opts out, and not where one opts in."""
    detail = f"nothing said, the default is {default}"

    assert Verdict(check="consent_missing", passed=passed, detail=detail) == _consent(Customer(), default)


@pytest.mark.parametrize("default", ["opt_in", "opt_out"])
@pytest.mark.parametrize("granted", [False, True])
def test_what_was_said_counts_whatever_the_default(default: Literal["opt_in", "opt_out"], granted: bool) -> None:
    """A choice about the channel or about all of them takes the default's place."""
    customer = Customer()
    customer.person.set_consent("*", NOW - 2, not granted)
    customer.person.set_consent("call", NOW - 1, granted)

    expected = Verdict(check="consent_missing", passed=granted, detail="said about call and *")
    assert expected == _consent(customer, default)
