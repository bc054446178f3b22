"""Where a message belongs: its topic by kind, its key by customer. A glance at the envelope; the worker judges it."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from stream.config import Settings
from stream.events.segment import MESSAGES, plain_name


class Route(NamedTuple):
    """``topic`` is purchases, browses, feedback, profiles or outcomes, empty when the message doesn't tell; ``key`` is
    the customer key, ``None`` when there is none to be seen."""

    topic: str
    key: bytes | None


class _Head(msgspec.Struct, rename={"user_id": "userId", "anonymous_id": "anonymousId"}):
    type: str = ""
    event: str | None = None
    user_id: str | None = None
    anonymous_id: str | None = None
    specversion: str | None = None
    subject: str | None = None
    data: msgspec.Raw = msgspec.Raw()


_decode = msgspec.json.Decoder(_Head).decode
_TOPICS = {spelling: row.topic for row in MESSAGES for spelling in (row.name, plain_name(row.name))}
_TYPES = {"identify": "profiles", "alias": "profiles", "group": "profiles", "page": "browses", "screen": "browses"}
_UNTOLD = Route("", None)


def route(line: bytes) -> Route:
    """The route of a bare Segment message or a structured CloudEvent; of anything else, nothing is known.

    >>> route(b'{"type": "track", "event": "Order Completed", "userId": "42"}')
    Route(topic='purchases', key=b'42')
    >>> route(b'{"type": "page", "anonymousId": "d-1"}')
    Route(topic='browses', key=b'anon:d-1')
    >>> route(b'{"specversion": "1.0", "subject": "42", "data": {"type": "identify"}}')
    Route(topic='profiles', key=b'42')
    >>> route(b'{"type": ')
    Route(topic='', key=None)
    """
    try:
        head = _decode(line)
        subject = None
        if head.specversion is not None:
            subject = head.subject
            head = _decode(head.data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return _UNTOLD
    who = head.user_id or (f"anon:{head.anonymous_id}" if head.anonymous_id else subject)
    key = who.encode() if who else None
    if head.type == "track":
        name = head.event or ""
        topic = _TOPICS.get(name) or _TOPICS.get(plain_name(name), "")
    else:
        topic = _TYPES.get(head.type, "")
    return Route(topic, key)


def topic_names(settings: Settings) -> dict[str, str]:
    """The Kafka topic of each kind, as the settings have it.

    >>> topic_names(Settings())["purchases"]
    'crm.purchases.v1'
    """
    kinds = ("purchases", "browses", "feedback", "profiles", "outcomes")
    return dict(zip(kinds, settings.input_topics, strict=True))
