"""Where the outcome of a step is written."""

from __future__ import annotations

from stream.actions.message import Message, Stream
from stream.agents.connection import MAX_MESSAGE_BYTES
from stream.agents.topics import Layout, needed
from stream.config import Settings

SETTINGS = Settings()
LAYOUT = Layout(SETTINGS, 8, {topic.name: topic.partitions for topic in needed(SETTINGS)}, {})


def test_every_stream_has_a_topic() -> None:
    """Messages go to the partition that is processed, to a given one, or within a smaller topic."""
    messages = [
        Message(Stream.ACTIONS, b"k", b"1"),
        Message(Stream.REPARTITION, b"k", b"2", partition=2),
        Message(Stream.DEAD_LETTERS, b"k", b"3", source_topic="crm.browses.v1"),
        Message(Stream.EPOCHS, b"k", b"4"),
    ]

    rows = {to: list(records) for to, records in LAYOUT.rows(7, {b"c": b"state", b"gone": None}, messages).items()}

    assert {
        (SETTINGS.topic_changelog, 7): [(b"c", b"state", ()), (b"gone", None, ())],
        ("crm.actions.v1", 3): [(b"k", b"1", ())],
        (SETTINGS.topic_repartition, 2): [(b"k", b"2", ())],
        ("crm.browses.v1.dlq", 3): [(b"k", b"3", ())],
        (SETTINGS.topic_epochs, 0): [(b"k", b"4", ())],
    } == rows


def test_all_streams_are_routed() -> None:
    """No stream of the core lacks a topic."""
    for stream in Stream:
        message = Message(stream, b"k", b"v", source_topic=SETTINGS.topic_purchases)
        assert LAYOUT.rows(0, {}, [message])


def test_what_holds_whole_records_takes_large_ones() -> None:
    """A dead letter of the largest input record fits, and so does the state."""
    large = {topic.name for topic in needed(SETTINGS) if topic.large}

    assert MAX_MESSAGE_BYTES > SETTINGS.max_record_bytes
    assert {f"{topic}.dlq" for topic in SETTINGS.input_topics} < large
    assert {SETTINGS.topic_changelog, SETTINGS.topic_epochs, SETTINGS.topic_repartition} < large
