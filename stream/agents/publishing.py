"""Publishing rules and switches: read what is live, make the next version of it, write that; nobody comes in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from aiokafka.admin import AIOKafkaAdminClient

from stream.actions.message import Message
from stream.agents.connection import client_options
from stream.agents.restore import Progress, restore
from stream.agents.topics import ensure_topics
from stream.agents.transactions import TransactionalWriter
from stream.config import Settings
from stream.errors import ConfigurationError, Fenced
from stream.rules.published import Published, RulesVersion, Switched, decode, encode, key_of

_Record = TypeVar("_Record", RulesVersion, Switched)


async def read_published(settings: Settings) -> Published:
    """Everything that was published."""
    await _make_topics(settings)
    return await _read(settings)


async def publish(settings: Settings, make: Callable[[Published], _Record]) -> _Record:
    """Writes what ``make`` makes of what is live, in one transaction.

    Whoever publishes fences everybody who began before: of two at a time the later one sees nothing of the other, and the
    earlier one is refused. So no version is made of one that isn't the latest.

    Raises:
        ConfigurationError: somebody else was faster.
    """
    await _make_topics(settings)
    writer = TransactionalWriter(settings, f"{settings.app_id}-rules")
    await writer.start()
    try:
        record = make(await _read(settings))
        await writer.write({(settings.topic_rules, 0): [(key_of(record), encode(record), ())]}, {})
    except Fenced as error:
        await writer.give_up()
        raise ConfigurationError(
            ["somebody else published at the same moment; look at `winback rules history`, and try again"]
        ) from error
    except BaseException:
        await writer.give_up()
        raise
    await writer.close()
    return record


async def contribute(settings: Settings, message: Message) -> None:
    """Writes a person's command to the contributions topic, for whoever makes the next version.

    Raises:
        ConfigurationError: somebody else was faster.
    """
    await _make_topics(settings)
    writer = TransactionalWriter(settings, f"{settings.app_id}-command")
    await writer.start()
    try:
        row = (message.key, message.value, message.headers)
        await writer.write({(settings.topic_contributions, 0): [row]}, {})
    except Fenced as error:
        await writer.give_up()
        raise ConfigurationError(["somebody else gave a command at the same moment; try again"]) from error
    except BaseException:
        await writer.give_up()
        raise
    await writer.close()


async def _read(settings: Settings) -> Published:
    values: dict[bytes, bytes] = {}
    await restore(settings, settings.topic_rules, 0, values, Progress())
    return decode(values)


async def _make_topics(settings: Settings) -> None:
    admin = AIOKafkaAdminClient(**client_options(settings))
    await admin.start()
    try:
        await ensure_topics(admin, settings)
    finally:
        await admin.close()
