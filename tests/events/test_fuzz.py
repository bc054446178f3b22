"""Whatever arrives: the decoder tells, the partition goes on, and what was taken can be kept and published."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.config import Settings
from stream.events.codec import Decoder, event_time_ms
from stream.events.instants import parse_ms
from stream.events.kinds import Event
from stream.events.record import Record
from stream.events.rejected import Ignored, Rejected
from stream.events.segment import MESSAGES
from stream.state.customer import Customer, checksum, decode, encode
from stream.testing import Shop
from tests.state.parts import opened

SCHEMAS = Path(__file__).parents[2] / "schemas"
EXAMPLES = sorted((SCHEMAS / "examples").glob("*/*.json"))
OUTPUTS = {path.name.removesuffix(".schema.json") for path in (SCHEMAS / "output").glob("*.schema.json")}
SETTINGS = Settings()
NOW = "2026-03-03T00:00:00Z"
NOW_MS = parse_ms(NOW)

texts = st.text(st.characters(), max_size=12)  # surrogates included
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    texts,
    st.sampled_from(
        ["", "\0", "\0partition", "NaN", "2026-03-02T09:15:00Z", "9999-12-31T23:59:59Z", "USD", "JPY", "x" * 300]
    ),
    st.sampled_from([10**30, -1, 0, 1e308, 2**63, 2**64, -(2**63)]),
)
values: st.SearchStrategy[Any] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
fields = st.sampled_from(
    re.findall(
        r"\w+",
        """
    type event userId anonymousId messageId timestamp sentAt receivedAt originalTimestamp previousId properties traits
    specversion id time subject data""",
    )
)
inner_fields = st.sampled_from(
    re.findall(
        r"\w+",
        """
    order_id revenue total discount currency coupon affiliation channel products product_id sku price quantity score
    rating complaint_id granted consent_channel action_id language address consent birthday""",
    )
)
headers = st.lists(
    st.tuples(
        st.sampled_from(
            ["ce_id", "ce_time", "ce_subject", "ce_specversion", "winback-backfill", "winback-backfill-end", "x"]
        ),
        st.binary(max_size=20) | st.sampled_from([b"2026-03-02T09:15:00Z", b"\xff", b"", b"e1"]),
    ),
    max_size=3,
).map(tuple)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A message that is nearly right: a good one of any kind with a few fields changed."""
    name = draw(st.sampled_from([row.name for row in MESSAGES]))
    kind = draw(st.sampled_from(["track", "track", "track", "identify", "page", "alias"]))
    inner: dict[str, Any] = {"order_id": "o1", "revenue": 10, "product_id": "p", "score": 3, "complaint_id": "c"}
    inner |= {"granted": True, "action_id": "a", **draw(st.dictionaries(inner_fields, values, max_size=2))}
    body: dict[str, Any] = {"type": kind, "event": name, "userId": "u", "messageId": f"m{draw(st.integers(0, 9))}"}
    body |= {"timestamp": "2026-03-02T09:15:00Z", "properties": inner, "traits": inner}
    body |= draw(st.dictionaries(fields, values, max_size=2))
    if draw(st.booleans()):
        body = {"specversion": "1.0", "id": "e1", "data": body, **draw(st.dictionaries(fields, values, max_size=1))}
    return json.dumps(body).encode()


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An example of the contract with some of its bytes cut, doubled or replaced."""
    value = bytearray(draw(st.sampled_from(EXAMPLES)).read_bytes())
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(value)))
        end = min(len(value), start + draw(st.integers(0, 8)))
        value[start:end] = draw(
            st.binary(max_size=8) | st.sampled_from([b"", b"null", b"1e999", rb"\ud800", b"\0", b"{}"])
        )
    return bytes(value)


anything = st.one_of(st.binary(max_size=60), messages(), damaged(), values.map(lambda v: json.dumps(v).encode()))


@settings(max_examples=600)
@given(anything, headers, st.sampled_from([-1, 0, NOW_MS, 2**63 - 1]))
def test_the_decoder_never_raises(value: bytes, found: Any, at_ms: int) -> None:
    """Whatever bytes and headers come, the answer is an event, a reason or a note; and an event can be kept for good."""
    record = Record("t", 0, 0, at_ms, None, value, found)
    decoded = Decoder(SETTINGS).decode(record)
    event_time_ms(record)

    assert isinstance(decoded, Event | Rejected | Ignored)
    if isinstance(decoded, Event):
        assert decoded.time_ms == event_time_ms(record)
        decoded.customer.encode()
        checksum(decoded)
        customer = Customer()
        customer.apply(decoded, SETTINGS)
        assert opened(customer) == opened(decode(encode(customer)))


@settings(max_examples=60)
@given(st.lists(st.tuples(anything, headers), min_size=1, max_size=20))
def test_the_partition_goes_on_whatever_comes(batch: list[tuple[bytes, Any]]) -> None:
    """Records of any content are applied, counted or dead-lettered: one of the three, each exactly once."""
    shop = Shop()
    for value, found in batch:
        shop.send_bytes(value, NOW, headers=found)

    counted = 0
    for out in shop.outcomes:
        telemetry = out.telemetry
        counted += sum(telemetry.events.values()) + sum(telemetry.ignored.values()) + sum(telemetry.rejected.values())
    assert len(batch) == counted
    for customer in shop.partition.customers(NOW_MS):
        json.dumps(customer, allow_nan=False).encode()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_example_goes_through_the_engine(path: Path) -> None:
    """The examples of the contract, good and bad, in and out, pass through the whole processor."""
    shop = Shop()
    shop.send_bytes(path.read_bytes(), NOW)
    shop.wait_until(NOW_MS + 86_400_000)

    assert path.name.startswith("invalid") == any(item["stream"] == "dead_letters" for item in shop.take()) or (
        path.parent.name in OUTPUTS  # nothing that comes in
    )


def test_a_cart_of_absurd_size_stays_a_number() -> None:
    """Quantities and prices at their limits make neither a number that no reader can hold nor a crash."""
    shop = Shop()
    rng = random.Random(7)
    for number in range(300):
        shop.send(
            "Product Added", "u", NOW_MS + number, product_id=f"p{rng.randrange(9)}", quantity=1_000_000, price=9.9e9
        )
    shop.wait_until(NOW_MS + 86_400_000)

    assert 10**15 == shop.customer("u")["cart"]["value_minor"]
    assert all(item["stream"] != "dead_letters" for item in shop.take())
