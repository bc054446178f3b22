"""The ids of topics: what tells a topic from another of the same name that was made after it.

Offsets mean nothing in a topic that was deleted and made again: its first records would be taken for applied, in silence,
because the state has applied such offsets of the old one. Kafka gives every topic an id at its making (KIP-516). The
worker keeps the ids of its inputs as metadata of a committed offset, in the same transaction as the state, and compares
them at every claim; and it asks for them while it runs.

aiokafka 0.14 asks for metadata up to version 5, which has names only. Version 10 (Kafka 2.8) has the ids, so the question
is spelt out here. An older broker doesn't tell, and only a topic that ends before its applied offsets is noticed.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any, NamedTuple
from uuid import UUID
from zlib import crc32

from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from stream.errors import TopicError


class _Uuid(AbstractType[UUID]):  # type: ignore[misc]
    """16 bytes; all zero for none."""

    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


_NONE = UUID(int=0)


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _MetadataRequestV10(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestV10]):  # type: ignore[misc]
    API_KEY = 3

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequestV10]) -> _MetadataRequestV10:
        named: list[tuple[UUID, str, dict[int, bytes]]] = [(_NONE, topic, {}) for topic in self._topics]
        return request_struct_class(named, False, False, False, {})


class TopicFacts(NamedTuple):
    """What a topic is, as far as offsets and owners stand on it."""

    id: str
    """32 hexadecimal digits."""
    partitions: int


async def topic_facts(client: Any, topics: Iterable[str]) -> dict[str, TopicFacts]:
    """Those of the topics that there are; nothing at all from a broker that is older than Kafka 2.8.

    Args:
        client: a connected `aiokafka.client.AIOKafkaClient`.

    Raises:
        KafkaError: no broker answers.
    """
    node = client.get_random_node()
    try:
        answer = await client.send(node, _MetadataRequest(topics))
    except (IncompatibleBrokerVersion, NotImplementedError):
        # Asked all the same, because an answer also says that a broker is there.
        await client.send(node, MetadataRequest([]))
        return {}
    return {
        row["name"]: TopicFacts(row["topic_id"].hex, len(row["partitions"]))
        for row in answer.to_object()["topics"]
        if not row["error_code"] and row["topic_id"] != _NONE
    }


def mark_of(ids: Mapping[str, str]) -> str:
    """The ids of topics as metadata of an offset, where a group's metadata may have 4,096 bytes and a name 249.

    >>> mark_of({"a": "0" * 32})
    'e8b7be43:AAAAAAAAAAAAAAAAAAAAAA'
    """
    return " ".join(f"{_short_name(topic)}:{_short_id(name)}" for topic, name in sorted(ids.items()))


def recreated(mark: str, ids: Mapping[str, str]) -> list[str]:
    """The topics that have another id than a mark has for them. Topics that it doesn't have are new inputs.

    >>> recreated(mark_of({"a": "0" * 32, "b": "1" * 32}), {"a": "0" * 32, "b": "2" * 32, "c": "3" * 32})
    ['b']
    """
    known = dict(entry.split(":", 1) for entry in mark.split(" ") if ":" in entry)
    return [topic for topic, name in ids.items() if known.get(_short_name(topic), _short_id(name)) != _short_id(name)]


def recreated_error(topics: Iterable[str], app_id: str) -> TopicError:
    """What to say of topics that are not the ones that were."""
    return TopicError(
        f"{', '.join(topics)} was deleted and made again, so the offsets that the state of {app_id!r} has applied say "
        "nothing of what is in it now.\n"
        "  - to keep the state and take the new topic from its start, give the topic another name; to begin "
        "anew, use another --app-id"
    )


def _short_name(topic: str) -> str:
    return f"{crc32(topic.encode()):08x}"


def _short_id(name: str) -> str:
    return urlsafe_b64encode(bytes.fromhex(name)).decode().rstrip("=")
