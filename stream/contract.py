"""The contract with other teams, made from the code: a JSON Schema per message and one AsyncAPI 3 document.

`files` returns every file of ``schemas/`` that is generated; `problems` says which of those on disk are not current.
Sources: JSON Schema 2020-12, AsyncAPI 3.0.0 with Kafka bindings 0.5.0, CloudEvents 1.0 Kafka protocol binding.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import orjson
import yaml

from stream.actions.alert import Alert
from stream.actions.decision import Decision
from stream.actions.effects import Effects
from stream.actions.kpis import Kpis
from stream.actions.model_event import ModelEvent
from stream.actions.tier_change import TierChange
from stream.config import SETTINGS, Settings
from stream.events.rejected import Reason, Stage
from stream.events.segment import MESSAGES
from stream.events.wire import LONGEST_ID, ProductProperties, Traits
from stream.rules.rule_file import rule_schema

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ZONED = r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$"
"""An RFC 3339 instant with a zone."""
FIRST_CHARACTER = r"^[^\u0000]"
"""Not empty, and not a key of Winback's own."""

_OUTPUTS: dict[str, tuple[type[msgspec.Struct], str, str]] = {
    "action": (Decision, "topic_actions", "What marketing automation should do. Read committed records only."),
    "suppression": (Decision, "topic_suppressions", "An action that was held back, with the reason."),
    "alert": (Alert, "topic_alerts", "A customer's churn probability crossed the threshold."),
    "tier-change": (TierChange, "topic_tiers", "A customer's tier or segment changed."),
    "kpis": (Kpis, "topic_kpis", "The programme's figures as of the end of a UTC day."),
    "model-event": (ModelEvent, "topic_models", "Another churn model is in use, or the shop has changed under it."),
    "experiment": (Effects, "topic_experiments", "All outcomes of one arm of a rule up to the end of a UTC day."),
}
_CUSTOMER = "The customer's key: userId, else `anon:` and anonymousId."
_KEYS = {"kpis": "Always `kpis`.", "model-event": "Always `churn`.", "experiment": "The rule's id."}
"""Keys of messages that are about no single customer."""
_DEAD_LETTER_HEADERS = (
    "__streams.errors.exception",
    "__streams.errors.stacktrace",
    "__streams.errors.message",
    "__streams.errors.topic",
    "__streams.errors.partition",
    "__streams.errors.offset",
    "dlq-stage",
    "dlq-reason",
    "dlq-field",
    "dlq-attempt",
)


def slug(name: str) -> str:
    """The file name of an event name.

    >>> slug("Order Completed")
    'order-completed'
    """
    return name.lower().replace(" ", "-")


def input_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a ``track`` event, or of ``identify``."""
    if name == "identify":
        return _envelope(name, {"type": {"const": "identify"}}, "traits", Traits)
    row = next(row for row in MESSAGES if row.name == name)
    head = {"type": {"const": "track"}, "event": {"const": name}}
    return _envelope(name, head, "properties", row.properties)


def output_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a message that leaves."""
    struct, _, text = _OUTPUTS[name]
    (schema,), definitions = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    root = definitions.pop(schema["$ref"].rsplit("/", 1)[1])
    return {"$schema": DIALECT, "title": name, **root, "description": text, "$defs": definitions}


def files() -> dict[str, bytes]:
    """Every generated file of ``schemas/``: path within it → content."""
    found: dict[str, bytes] = {}
    for name in (*(row.name for row in MESSAGES), "identify"):
        found[f"input/{slug(name)}.schema.json"] = _json(input_schema(name))
    for name in _OUTPUTS:
        found[f"output/{name}.schema.json"] = _json(output_schema(name))
    found["rule.schema.json"] = _json(rule_schema())
    text = yaml.safe_dump(asyncapi(), sort_keys=False, allow_unicode=True, width=110)
    found["asyncapi.yaml"] = text.encode()
    return found


def problems(folder: Path) -> list[str]:
    """What is missing, out of date or left over among the generated files in a folder."""
    wanted = files()
    found = [f"{name}: missing" for name in wanted if not (folder / name).is_file()]
    found += [
        f"{name}: not current"
        for name, content in wanted.items()
        if (folder / name).is_file() and (folder / name).read_bytes() != content
    ]
    present = {str(path.relative_to(folder)) for path in folder.rglob("*.schema.json")}
    return sorted(found + [f"{name}: no longer generated" for name in present - wanted.keys()])


def write(folder: Path) -> int:
    """Writes every generated file; returns how many."""
    wanted = files()
    for name, content in wanted.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return len(wanted)


def asyncapi() -> dict[str, Any]:
    """The AsyncAPI document: topics, messages, keys, headers, and how to read them."""
    settings = Settings()
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for topic in ("purchases", "browses", "feedback", "profiles", "outcomes"):
        names = [row.name for row in MESSAGES if row.topic == topic]
        if topic == "profiles":
            names.append("identify")
        address = getattr(settings, f"topic_{topic}")
        channels[topic] = _channel(address, _help(f"topic_{topic}"), [slug(name) for name in names])
        operations[f"take-{topic}"] = {"action": "receive", "channel": {"$ref": f"#/channels/{topic}"}}
        for name in names:
            messages[slug(name)] = _message(name, f"./input/{slug(name)}.schema.json")
        letter = f"{topic}-dead-letters"
        channels[letter] = _channel(f"{address}.dlq", "Records that were refused, as they came.", ["dead-letter"])
        operations[f"refuse-{topic}"] = {"action": "send", "channel": {"$ref": f"#/channels/{letter}"}}
    for name, (_, setting, text) in _OUTPUTS.items():
        channels[name] = _channel(getattr(settings, setting), text, [name])
        operations[f"publish-{name}"] = {"action": "send", "channel": {"$ref": f"#/channels/{name}"}}
        messages[name] = _message(name, f"./output/{name}.schema.json", _KEYS.get(name, _CUSTOMER))
        messages[name]["traits"] = [{"$ref": "#/components/messageTraits/cloudevent"}]
    messages["dead-letter"] = _dead_letter()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Winback",
            "version": "1.0.0",
            "description": (
                "Events of customers in, actions that bring them back out. Consumers of what Winback publishes must read "
                "committed records only (isolation.level=read_committed); then every action arrives exactly once. "
                "Any input topic may carry any event: decoding goes by the message, not the topic. CloudEvents 1.0 is "
                "accepted in binary and structured mode around the same payload."
            ),
            "license": {"name": "Apache 2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "messageTraits": {"cloudevent": _cloudevent()}},
    }


def _help(setting: str) -> str:
    return next(row.help.text for row in SETTINGS if row.name == setting)


def _channel(address: str, text: str, names: list[str]) -> dict[str, Any]:
    return {
        "address": address,
        "description": text,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"kafka": {"topic": address, "partitions": Settings().partitions, "bindingVersion": "0.5.0"}},
    }


def _message(name: str, schema: str, key_text: str = _CUSTOMER) -> dict[str, Any]:
    key = {"type": "string", "description": key_text}
    return {
        "name": name,
        "contentType": "application/json",
        "payload": {"schemaFormat": "application/schema+json;version=draft-2020-12", "schema": {"$ref": schema}},
        "bindings": {"kafka": {"key": key, "bindingVersion": "0.5.0"}},
    }


def _dead_letter() -> dict[str, Any]:
    reasons = [reason.value for reason in Reason]
    properties: dict[str, Any] = {name: {"type": "string"} for name in _DEAD_LETTER_HEADERS}
    properties["dlq-reason"]["enum"] = reasons
    properties["dlq-stage"]["enum"] = [stage.value for stage in Stage]
    return {
        "name": "dead-letter",
        "summary": "Original bytes, key and headers untouched; the reason in further headers (KIP-1034).",
        "contentType": "application/octet-stream",
        "headers": {"type": "object", "required": list(_DEAD_LETTER_HEADERS), "properties": properties},
        "payload": {"description": "The bytes as they came."},
    }


def _cloudevent() -> dict[str, Any]:
    texts = {
        "ce_specversion": "Always 1.0.",
        "ce_id": "The message's own deterministic id; drop repeats by it.",
        "ce_source": "Always /winback.",
        "ce_type": "com.winback.action.v1 and so on.",
        "ce_time": "When it was decided.",
        "ce_subject": "The key: mostly the customer's.",
        "ce_causationid": "messageId of the event that caused it, when an event did.",
        "ce_expirytime": "Worth nothing from then on.",
    }
    properties = {name: {"type": "string", "description": text} for name, text in texts.items()}
    return {"headers": {"type": "object", "required": list(texts)[:6], "properties": properties}}


def _envelope(name: str, head: Mapping[str, Any], inside: str, struct: type[msgspec.Struct]) -> dict[str, Any]:
    (reference,), definitions = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    identity = {"type": "string", "minLength": 1, "maxLength": LONGEST_ID}
    one_of_two = {"type": ["string", "null"], "maxLength": LONGEST_ID}
    instant = {"type": "string", "format": "date-time", "pattern": ZONED}
    maybe = {"anyOf": [instant, {"type": "null"}]}
    has_required = bool(definitions[struct.__name__].get("required"))
    if struct is ProductProperties:
        # The builder asks for one of the two; the type alone can't say it.
        definitions[struct.__name__]["anyOf"] = [_given("product_id"), _given("sku")]
        has_required = True
    return {
        "$schema": DIALECT,
        "title": name,
        "type": "object",
        "required": [*head, "messageId", "timestamp", *([inside] if has_required else [])],
        "anyOf": [_given("userId"), _given("anonymousId")],
        "properties": {
            **head,
            "messageId": {**identity, "description": "The duplicate key."},
            "userId": {**one_of_two, "description": "The customer's key; must not start with a zero character."},
            "anonymousId": {**one_of_two, "description": "The key while nobody has signed in."},
            "timestamp": {**instant, "description": "Event time, with a zone. Never the time of arrival."},
            "sentAt": {
                **maybe,
                "description": "The sender's clock when it sent; with receivedAt it corrects timestamp.",
            },
            "receivedAt": maybe,
            "originalTimestamp": maybe,
            inside: reference if has_required else {"anyOf": [reference, {"type": "null"}]},
        },
        "$defs": definitions,
    }


def _given(field: str) -> dict[str, Any]:
    return {"required": [field], "properties": {field: {"type": "string", "pattern": FIRST_CHARACTER}}}


def _json(schema: Mapping[str, Any]) -> bytes:
    return orjson.dumps(schema, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
