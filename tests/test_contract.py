"""The contract with other teams: current, whole, and true of what the engine really sends."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, FormatChecker

from stream.actions.message import Message, Stream
from stream.config import Settings
from stream.contract import asyncapi, files, output_schema, problems, write
from stream.events.segment import MESSAGES

ROOT = Path(__file__).parents[1]
SCHEMAS = ROOT / "schemas"
STREAMS = {
    Stream.ACTIONS: "action",
    Stream.SUPPRESSIONS: "suppression",
    Stream.ALERTS: "alert",
    Stream.TIERS: "tier-change",
    Stream.KPIS: "kpis",
    Stream.EXPERIMENTS: "experiment",
    Stream.MODELS: "model-event",
}
OUTPUT_EXAMPLES = sorted(path for name in STREAMS.values() for path in (SCHEMAS / "examples" / name).glob("*.json"))


def test_the_schemas_are_current() -> None:
    """What is in ``schemas/`` is what the code says: `winback schemas --write` brings it up to date."""
    assert [] == problems(SCHEMAS)


def test_every_way_of_not_being_current_is_told(tmp_path: Path) -> None:
    """A missing, a changed and a left-over file are each named."""
    assert len(files()) == write(tmp_path)
    assert [] == problems(tmp_path)
    (tmp_path / "asyncapi.yaml").write_text("old")
    (tmp_path / "input" / "identify.schema.json").unlink()
    (tmp_path / "input" / "tea-spilled.schema.json").write_text("{}")

    assert [
        "asyncapi.yaml: not current",
        "input/identify.schema.json: missing",
        "input/tea-spilled.schema.json: no longer generated",
    ] == problems(tmp_path)


@pytest.mark.parametrize("name", [name for name in files() if name.endswith(".json")])
def test_schemas_are_schemas(name: str) -> None:
    """Every generated schema is valid JSON Schema 2020-12 and all its references resolve."""
    schema = json.loads(files()[name])
    Draft202012Validator.check_schema(schema)

    for reference in _references(schema):
        assert _resolve(schema, reference) is not None, reference


def test_the_asyncapi_document_is_whole() -> None:
    """Every reference resolves, in the document or to a schema beside it; every operation uses a channel of its own."""
    document = yaml.safe_load((SCHEMAS / "asyncapi.yaml").read_bytes())

    assert asyncapi() == document
    assert re.fullmatch(r"3\.\d+\.\d+", document["asyncapi"])
    assert {"asyncapi", "info", "channels", "operations", "components", "defaultContentType"} == set(document)
    references = list(_references(document))
    for reference in references:
        if reference.startswith("#"):
            assert _resolve(document, reference) is not None, reference
        else:
            assert (SCHEMAS / reference).is_file(), reference
    channels = [operation["channel"]["$ref"] for operation in document["operations"].values()]
    assert sorted(f"#/channels/{name}" for name in document["channels"]) == sorted(channels)
    assert {"send", "receive"} == {operation["action"] for operation in document["operations"].values()}
    for name in document["components"]["messages"]:
        assert f"#/components/messages/{name}" in references


def test_the_asyncapi_document_names_every_topic_and_message() -> None:
    """Each input and output topic, each dead-letter topic, and each message of the table are in the document."""
    settings = Settings()
    document = asyncapi()
    addresses = {channel["address"] for channel in document["channels"].values()}
    outputs = {settings.topic_actions, settings.topic_alerts, settings.topic_suppressions, settings.topic_tiers}
    outputs |= {settings.topic_kpis, settings.topic_experiments, settings.topic_models}

    assert {*settings.input_topics, *(f"{topic}.dlq" for topic in settings.input_topics), *outputs} == addresses
    names = {message["name"] for message in document["components"]["messages"].values()}
    assert {row.name for row in MESSAGES} | {"identify", "dead-letter", *STREAMS.values()} == names
    assert "read_committed" in document["info"]["description"]


@pytest.mark.parametrize("path", OUTPUT_EXAMPLES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_examples_of_what_leaves(path: Path) -> None:
    """A valid example fits its schema; an invalid one doesn't."""
    validator = Draft202012Validator(output_schema(path.parent.name), format_checker=FormatChecker())

    assert path.name.startswith("valid") == validator.is_valid(json.loads(path.read_bytes()))


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.value)
def test_what_the_engine_sends_fits_the_schema(stream: Stream, story: dict[Stream, list[Message]]) -> None:
    """Messages of a real run, every one, fit the schema that other teams build on; and their headers are as described."""
    validator = Draft202012Validator(json.loads((SCHEMAS / "output" / f"{STREAMS[stream]}.schema.json").read_bytes()))
    trait = asyncapi()["components"]["messageTraits"]["cloudevent"]["headers"]

    assert story[stream]
    for message in story[stream]:
        assert [] == [error.message for error in validator.iter_errors(json.loads(message.value or b""))]
        names = {name for name, _ in message.headers}
        assert set(trait["required"]) <= names <= {*trait["properties"], "content-type"}


def test_dead_letters_carry_the_headers_of_the_contract(story: dict[Stream, list[Message]]) -> None:
    """A refused record of a real run has every header that the document promises, with values that it allows."""
    promised = asyncapi()["components"]["messages"]["dead-letter"]["headers"]

    assert story[Stream.DEAD_LETTERS]
    for message in story[Stream.DEAD_LETTERS]:
        found = {name: raw.decode() for name, raw in message.headers}
        assert [] == [error.message for error in Draft202012Validator(promised).iter_errors(found)]


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _resolve(document: Any, reference: str) -> Any:
    node = document
    for part in reference.removeprefix("#/").split("/"):
        node = node.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(node, dict) else None
    return node
