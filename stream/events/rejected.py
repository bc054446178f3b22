"""Why a record was not taken: values, not exceptions, because a bad event is nobody's surprise."""

from __future__ import annotations

import enum

import msgspec

LONGEST_DETAIL = 500
"""Longest explanation of a refusal, in characters. Longer: dead letters outgrow their topic's limit."""


class Stage(enum.StrEnum):
    """Where on its way a record stopped."""

    DECODE = "decode"
    """The bytes are not a message."""
    SCHEMA = "schema"
    """The message lacks something or has it wrong."""
    STATE = "state"
    """The message is fine, but the customer's state can't take it."""
    PROCESS = "process"
    """Our own code failed on it, again and again."""


class Reason(enum.StrEnum):
    """Why a record became a dead letter. Part of the contract: alerts and redrive select by it."""

    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    TOO_LARGE = "too_large"
    EMPTY = "empty"
    NOT_SEGMENT = "not_segment"
    WRONG_TYPE = "wrong_type"
    NO_CUSTOMER = "no_customer"
    NO_MESSAGE_ID = "no_message_id"
    NO_TIME = "no_time"
    BAD_TIME = "bad_time"
    NO_ZONE = "no_zone"
    TIME_OUT_OF_RANGE = "time_out_of_range"
    MISSING_FIELD = "missing_field"
    VALUE_OUT_OF_RANGE = "value_out_of_range"
    NEGATIVE_MONEY = "negative_money"
    NON_FINITE_MONEY = "non_finite_money"
    MONEY_OUT_OF_RANGE = "money_out_of_range"
    UNKNOWN_CURRENCY = "unknown_currency"
    NO_RATE = "no_rate"
    SAME_ID_OTHER_BODY = "same_id_other_body"
    BEYOND_MEMORY = "beyond_memory"
    PROCESSING_FAILED = "processing_failed"


class Rejected(msgspec.Struct, frozen=True, gc=False):
    """A record that is refused: it goes to the dead-letter topic with this.

    ``field`` is the path of the offending part (``$.properties.revenue``), empty when there is none.
    """

    stage: Stage
    reason: Reason
    detail: str
    field: str = ""


class Ignored(msgspec.Struct, frozen=True, gc=False):
    """A well-formed message that says nothing to Winback: counted under ``why``, not refused."""

    why: str
    name: str = ""


class Refusal(Exception):
    """Raised by builders for what types can't say; the codec turns it into a `Rejected`."""

    def __init__(self, reason: Reason, field: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.field, self.detail = reason, field, shortened(detail)


def shortened(detail: str) -> str:
    """A detail fit for a header: what a sender wrote may be a megabyte, and is in the dead letter's value anyway.

    >>> len(shortened("x" * 10_000))
    500
    """
    return detail if len(detail) <= LONGEST_DETAIL else f"{detail[: LONGEST_DETAIL - 1]}…"
