"""What is said of consent where nobody has said anything, and where somebody has."""

from __future__ import annotations

from typing import Literal

import pytest

from stream.actions.decision import Verdict
from stream.governance.judge import judge
from stream.state.customer import Customer
from tests.governance.asking import NOW, ask


def _consent(customer: Customer, default: Literal["opt_in", "opt_out"]) -> Verdict:
    verdicts = judge(ask(customer, consent_default=default)).verdicts
    return next(verdict for verdict in verdicts if verdict.check == "consent_missing")


@pytest.mark.parametrize(("default", "passed"), [("opt_in", False), ("opt_out", True)])
def test_silence_means_what_the_shop_says(default: Literal["opt_in", "opt_out"], passed: bool) -> None:
    """Who has said nothing may be contacted in a shop where one opts out, and not where one opts in."""
    found = _consent(Customer(), default)

    assert (passed, f"nothing said, the default is {default}") == (found.passed, found.detail)


@pytest.mark.parametrize("default", ["opt_in", "opt_out"])
@pytest.mark.parametrize("granted", [False, True])
def test_what_was_said_counts_whatever_the_default(default: Literal["opt_in", "opt_out"], granted: bool) -> None:
    """A choice about the channel or about all of them takes the default's place."""
    customer = Customer()
    customer.person.set_consent("*", NOW - 2, not granted)
    customer.person.set_consent("call", NOW - 1, granted)

    found = _consent(customer, default)

    assert (granted, "said about call and *") == (found.passed, found.detail)


@pytest.mark.parametrize("scope", ["marketing:call", "marketing:*"])
def test_a_purpose_may_be_refused_by_itself(scope: str) -> None:
    """Who doesn't want to be wooed may still be helped."""
    customer = Customer()
    customer.person.set_consent(scope, NOW - 1, False)

    assert "consent_missing" == judge(ask(customer)).reason
    assert "publish" == judge(ask(customer, changes={"purpose": "service"})).answer
