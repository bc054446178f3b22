"""The codec against a second, plain reading of the contract, and the exact answer to every example of it."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stream.config import Settings
from stream.events.codec import Decoded, Decoder, event_time_ms
from stream.events.instants import parse_ms
from stream.events.kinds import KINDS, Aliased
from stream.events.money import Rates
from stream.events.record import Record
from stream.events.rejected import Ignored, Rejected
from tests.events.reference import ENVELOPE, PROPERTIES, TRAITS, read

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"
GOLDEN = Path(__file__).parent / "decoded.txt"
RATES = {"EUR": 1.1, "JPY": 0.0065, "KWD": 3.25}
DECODER = Decoder(Settings(), Rates("USD", [("1990-01-01", code, rate) for code, rate in RATES.items()]))
NOW_MS = parse_ms("2026-03-03T00:00:00Z")

GOOD = [json.loads(path.read_bytes()) for path in sorted(EXAMPLES.glob("*/valid*.json"))]
GOOD = [message for message in GOOD if "type" in message]
FIELDS = sorted({*ENVELOPE, "properties", "traits", "data", "context"})
AMOUNTS = {"price", "revenue", "total", "discount"}
TIMES = [
    "2026-03-02T09:15:00Z",
    "2026-03-02t09:15:00.1234z",
    "2026-03-02T09:15:00.999999+05:45",
    "2026-03-02T09:15:00",
    "2026-03-02",
    "2026-02-30T00:00:00Z",
    "2026-03-02T24:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "1990-01-01T00:00:00Z",
    "1989-12-31T23:59:59.999Z",
    "2026-03-04T00:00:00Z",
    "2026-03-04T00:00:00.001Z",
    "soon",
]
WORDS = ["", "a", "\0", "\0partition", "1.0", "4.5", "nan", "inf", " 4 ", "x" * 64, "x" * 65, "é" * 257]
CURRENCIES = ["USD", "usd", "EUR", "eur", "JPY", "KWD", "", None, "CHF", "ÄÖÜ", "EURO"]
NUMBERS = [-1, 0, 1, 3, 11, 3.0, 4.5, 2**63, 2**64, -(2**63), 10**30, 1_000_001]
NAMES = [*PROPERTIES, "order-completed", "PRODUCT_VIEWED", "Tea Spilled", ""]


class Sender:
    """Somebody who sends messages that are nearly right."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def message(self) -> dict[str, Any]:
        """A good message of any kind, bare or in a CloudEvent, with a few things changed."""
        rng = self._rng
        body: dict[str, Any] = copy.deepcopy(rng.choice(GOOD))
        if body["type"] == "identify":
            place, fields = body.setdefault("traits", {}), sorted(TRAITS)
        else:
            known = PROPERTIES[body["event"]][0] if body["type"] == "track" else {}
            place, fields = body.setdefault("properties", {}), [*known, "channel"]
        for _ in range(rng.choice([0, 1, 1, 2, 3])):
            name = rng.choice(fields)
            place[name] = self._value(name)
        if rng.random() < 0.1:
            body["event"] = rng.choice(NAMES)
        if rng.random() < 0.2:
            name = rng.choice(FIELDS)
            body[name] = self._value(name)
        if rng.random() < 0.2:
            body |= {name: rng.choice(TIMES[:4]) for name in ("sentAt", "receivedAt") if rng.random() < 0.8}
        if rng.random() < 0.1:
            inner = rng.choice([place, body])
            inner.pop(rng.choice([*inner, "x"]), None)
        if rng.random() < 0.15:
            body = {"specversion": "1.0", "id": "e1", "time": TIMES[0], "subject": "s", "data": body}
            if rng.random() < 0.3:
                name = rng.choice(["id", "time", "subject", "specversion", "data"])
                body[name] = self._value(name)
        return body

    def _value(self, name: str) -> Any:
        """Mostly what fits the field, sometimes anything."""
        rng = self._rng
        fitting: dict[str, list[Any]] = {
            "currency": CURRENCIES,
            "products": [self._products()],
            "consent": [{"sms": True}],
        }
        if rng.random() < 0.7:
            if name in AMOUNTS:
                return self._amount()
            if name in fitting:
                return rng.choice(fitting[name])
            if name.endswith("At") or name in ("time", "timestamp", "originalTimestamp"):
                return rng.choice(TIMES)
        anything: list[Any] = [
            None,
            True,
            False,
            [],
            {},
            {"country": "DE"},
            rng.choice(WORDS),
            rng.choice(NUMBERS),
            self._amount(),
        ]
        return rng.choice([*anything, rng.choice(TIMES), rng.choice(CURRENCIES), self._products(), "track", "page"])

    def _amount(self) -> float:
        """Mostly whole cents, sometimes half a cent, huge or not allowed."""
        rng = self._rng
        odd = [-0.0, 0.005, 1.005, 2.675, 1e10, 1e10 + 0.01, 1e15, -0.01, 1e308, -1]
        half = rng.randrange(0, 10**6) / 200
        wide = rng.random() * 10.0 ** rng.randrange(16)
        return rng.choice([rng.randrange(10**6) / 100, half, wide, rng.choice(odd)])

    def _products(self) -> list[Any]:
        rng = self._rng
        fields = ["product_id", "sku", "name", "category", "price", "quantity"]
        found: list[Any] = []
        for _ in range(rng.randrange(4)):
            whole: dict[str, Any] = {name: f"{name} {rng.randrange(9)}" for name in fields[:4]}
            whole |= {"price": self._amount() if rng.random() < 0.5 else 2.5, "quantity": rng.randrange(-1, 9)}
            whole["category"] = rng.choice(["", "tea", "cups"])
            found.append({name: whole[name] for name in fields if rng.random() < 0.8})
        return found if rng.random() < 0.95 else [*found, None]


@pytest.mark.parametrize("seed", range(10))
def test_the_codec_reads_what_the_contract_says(seed: int) -> None:
    """Taken, counted or refused, and with which figures, reason and field: as the plain reading has it."""
    sender, answers = Sender(seed), Counter[str]()
    for number in range(2_000):
        message, at_ms = sender.message(), (-1, NOW_MS)[number % 2]
        value = json.dumps(message, ensure_ascii=number % 3 == 0).encode()
        record = Record("t", 0, 0, at_ms, None, value)
        decoded, expected = DECODER.decode(record), read(message, RATES, at_ms)
        answers[type(decoded).__name__] += 1

        if isinstance(expected, set):
            assert isinstance(decoded, Rejected), (message, expected)
            assert (decoded.reason.value, decoded.field) in expected, message
        elif isinstance(expected, str):
            assert isinstance(decoded, Ignored), message
        else:
            assert (type(expected), expected) == (type(decoded), decoded), message
            assert expected.time_ms == event_time_ms(record), message
    # Neither all good nor all bad: each kind of answer is met often enough to mean something.
    assert answers.keys() >= {kind.__name__ for kind in KINDS if kind is not Aliased} | {"Ignored"}
    assert 500 < answers["Rejected"] < 1_500


@pytest.mark.parametrize("seed", range(10))
def test_one_pass_and_step_by_step_agree(seed: int) -> None:
    """A record with any header is taken step by step, one without in one pass if all is well: to the letter the same answer,
    also for repeated and missing fields in any order, and for broken bytes."""
    sender, rng, answers = Sender(seed), random.Random(seed), Counter[str]()
    for number in range(2_000):
        message = sender.message()
        members = list(message.items()) + rng.choices(list(message.items()), k=rng.choice([0, 0, 0, 1, 2]))
        rng.shuffle(members)
        texts = [f"{json.dumps(name)}:{json.dumps(said, ensure_ascii=number % 3 == 0)}" for name, said in members]
        value = ("{" + ",".join(texts) + "}").encode()
        if rng.random() < 0.3:
            start, end = sorted(rng.choices(range(len(value)), k=2))
            cut = rng.choice([b"", b"\xff", b'"', b"{", b"NaN", b"[[", value[start : start + 9] * 2])
            value = value[:start] + cut + value[rng.choice([start, start + 1, end]) :]
        straight, careful = (
            Record("t", 0, 0, NOW_MS, None, value),
            Record("t", 0, 0, NOW_MS, None, value, (("x", b""),)),
        )
        decoded = DECODER.decode(straight)
        answers[type(decoded).__name__] += 1

        assert decoded == DECODER.decode(careful), value
    assert 200 < answers["Rejected"] < 1_800


def test_aliases_are_read_too() -> None:
    """There is no example of them among the messages of the contract."""
    message = {"type": "alias", "userId": "u", "previousId": "old", "messageId": "m", "timestamp": TIMES[0]}

    assert read(message, RATES) == DECODER.decode(Record("t", 0, 0, -1, None, json.dumps(message).encode()))


def shown(path: Path, decoded: Decoded) -> str:
    """One line of the golden file."""
    return f"{path.parent.name}/{path.stem}: {decoded!r}"


def lines() -> list[str]:
    """What the codec says of every example, in the order of their names."""
    decoder = Decoder(Settings())
    paths = sorted(EXAMPLES.glob("*/*.json"))
    return [shown(path, decoder.decode(Record("t", 0, 0, -1, None, path.read_bytes()))) for path in paths]


def test_every_example_is_answered_to_the_letter() -> None:
    """Events, and refusals with stage, reason, field and words, are those of the golden file."""
    # Meant to change? `python -m tests.events.test_reference` writes it anew.
    assert GOLDEN.read_text(encoding="utf-8").splitlines() == lines()


if __name__ == "__main__":
    GOLDEN.write_text("\n".join(lines()) + "\n", encoding="utf-8")
