"""The examples of the contract, valid and invalid: each is what its file name says, for the codec and for the schema."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from stream.config import Settings
from stream.contract import files, input_schema, slug
from stream.events.codec import Decoder
from stream.events.kinds import Event
from stream.events.record import Record
from stream.events.rejected import Reason, Rejected
from stream.events.segment import MESSAGES

ROOT = Path(__file__).parents[2] / "schemas" / "examples"
INPUTS = {slug(name): name for name in (*(row.name for row in MESSAGES), "identify")}
OUTPUTS = tuple(Path(name).name.removesuffix(".schema.json") for name in files() if name.startswith("output/"))
FILES = sorted(path for folder in (*INPUTS, "cloudevents") for path in (ROOT / folder).glob("*.json"))
BEYOND_SCHEMA = {Reason.TIME_OUT_OF_RANGE, Reason.UNKNOWN_CURRENCY, Reason.NO_RATE}
"""What no schema can say: it knows neither the shop's calendar nor its rates."""
RATING = {"invalid-value_out_of_range-rating.json", "invalid-wrong_type-rating.json"}
"""The specification has ``rating`` as text, whose number only the codec reads."""


def reason_of(path: Path) -> Reason | None:
    """The reason that a file's name gives; ``None`` for a valid one."""
    if re.fullmatch(r"valid(-.+)?", path.stem):
        return None
    match = re.fullmatch(r"invalid-([a-z0-9_]+)(-.+)?", path.stem)
    assert match, path
    return Reason(match[1])


def name_of(path: Path) -> str:
    """A readable test id."""
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_the_codec_agrees_with_the_file_name(path: Path) -> None:
    """A valid example becomes an event, an invalid one is refused for the named reason."""
    decoded = Decoder(Settings()).decode(Record("t", 0, 0, -1, None, path.read_bytes()))

    reason = reason_of(path)
    if reason is None:
        assert isinstance(decoded, Event), decoded
    else:
        assert isinstance(decoded, Rejected), decoded
        assert reason == decoded.reason, decoded
        assert decoded.detail


@pytest.mark.parametrize("path", [path for path in FILES if path.parent.name in INPUTS], ids=name_of)
def test_the_schema_agrees_with_the_file_name(path: Path) -> None:
    """A valid example fits its JSON Schema; an invalid one doesn't, wherever a schema can say so."""
    schema = input_schema(INPUTS[path.parent.name])
    fits = Draft202012Validator(schema, format_checker=FormatChecker()).is_valid(json.loads(path.read_bytes()))

    reason = reason_of(path)
    said_elsewhere = reason in BEYOND_SCHEMA or (path.parent.name == "product-reviewed" and path.name in RATING)
    assert (reason is None or said_elsewhere) == fits


@pytest.mark.parametrize("folder", [*INPUTS, *OUTPUTS, "cloudevents"])
def test_every_message_has_good_and_bad_examples(folder: str) -> None:
    """Every message, in or out, has at least one valid and two invalid examples."""
    reasons = [reason_of(path) for path in (ROOT / folder).glob("*.json")]

    assert reasons.count(None) >= 1
    assert len(set(reasons) - {None}) >= 2


def test_no_example_is_left_over() -> None:
    """Every folder of examples belongs to a message of the contract."""
    assert {*INPUTS, *OUTPUTS, "cloudevents"} == {path.name for path in ROOT.iterdir()}
