"""A shop with a past: the state, thresholds and trained model that a worker of 200,000 customers has after half a year.

Made by the core from generated history, so a benchmark begins where a shop is on an ordinary day: customers have orders,
tiers, open snapshots and waiting timers, and the churn model is in force. Kept in the user's cache for the day, since
nothing in it depends on more than the code and the options.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

import stream
from stream.config import DAY_MS, Settings
from stream.events.codec import event_time_ms
from stream.events.hashing import owner_partition
from stream.events.instants import to_text
from stream.events.record import Record
from stream.processor.epochs import epoch_message
from stream.processor.partition import PARTITION_KEY
from stream.testing import Shop
from tests.bench._events import events, ranked_keys

DAYS = 180
"""Long enough for labels: a horizon of 90 days, and as much again of examples."""
EVENTS_PER_CUSTOMER = 15
MOST_LIVED = 20_000
"""Customers whose half year is really lived through, some minutes of work; larger shops have several copies of each,
next to each other in the order of how busy they are."""
_BATCH = 2_000

Progress = Callable[[str, int, int], None]


class Warm(msgspec.Struct):
    """What the worker of such a shop finds when it starts."""

    customers: dict[bytes, bytes]
    """Encoded records by key."""
    partition: bytes
    """The partition's own record; the same for each, since all closed the same day."""
    epoch: bytes
    """The version of thresholds and model that holds today."""

    def partitioned(self, partitions: int) -> Iterator[tuple[int, list[tuple[bytes, bytes]]]]:
        """(partition, its changelog)."""
        parts: list[list[tuple[bytes, bytes]]] = [[(PARTITION_KEY, self.partition)] for _ in range(partitions)]
        for key, value in self.customers.items():
            parts[owner_partition(key, partitions)].append((key, value))
        yield from enumerate(parts)


def warm_shop(settings: Settings, customers: int, today_ms: int, progress: Progress | None = None) -> Warm:
    """The shop on the UTC day of ``today_ms``, before the day's first event."""
    midnight_ms = today_ms - today_ms % DAY_MS
    lived = min(customers, MOST_LIVED)
    kept = Path.home() / ".cache" / "winback" / "bench" / f"shop-{_code()}-{lived}-{midnight_ms // DAY_MS}.msgpack"
    if kept.is_file():
        warm = msgspec.msgpack.decode(kept.read_bytes(), type=Warm)
    else:
        warm = _build(settings, lived, midnight_ms, progress or (lambda *_: None))
        _keep(kept, warm)
    return warm if customers == lived else _copied(warm, lived, customers)


def _copied(warm: Warm, lived: int, customers: int) -> Warm:
    """A larger shop out of a smaller one."""
    originals, keys = ranked_keys(lived), ranked_keys(customers)
    found = ((key, warm.customers.get(originals[rank * lived // customers])) for rank, key in enumerate(keys))
    return Warm({key: value for key, value in found if value is not None}, warm.partition, warm.epoch)


def _keep(kept: Path, warm: Warm) -> None:
    kept.parent.mkdir(parents=True, exist_ok=True)
    for old in kept.parent.glob("shop-*.msgpack"):
        old.unlink()
    fresh = kept.with_suffix(".new")
    fresh.write_bytes(msgspec.msgpack.encode(warm))
    fresh.replace(kept)


def _build(settings: Settings, customers: int, midnight_ms: int, progress: Progress) -> Warm:
    shop = Shop(settings=settings)
    shop.keep_outcomes = False
    count = customers * EVENTS_PER_CUSTOMER
    first_ms = midnight_ms - DAYS * DAY_MS
    batch: list[Record] = []
    last_ms = first_ms
    for number, (topic, key, value) in enumerate(
        events(count, customers=customers, first=to_text(first_ms), days=DAYS, seed=2)
    ):
        record = Record(topic, 0, -1, -1, key, value)
        at_ms = event_time_ms(record) or last_ms
        if batch and (len(batch) == _BATCH or at_ms // DAY_MS != last_ms // DAY_MS):
            shop.send_records(batch, last_ms)
            batch = []
            progress("half a year of history", number, count)
        last_ms = at_ms
        batch.append(record)
    shop.send_records(batch, last_ms)
    shop.wait_until(midnight_ms)
    if shop.epoch is None or shop.epoch.model is None:
        raise RuntimeError("half a year of history gave no model")
    shop.epoch.trainer = shop.coordinator.checkpoint()
    own = shop.store.pop(PARTITION_KEY)
    return Warm(shop.store, own, epoch_message(shop.epoch).value or b"")


def _code() -> str:
    """Hash of the product's source: another version makes another state."""
    digest = hashlib.blake2b(digest_size=8)
    for folder in (Path(stream.__file__).parent, Path(__file__).parent):
        for path in sorted(folder.rglob("*")) if folder.name == "stream" else (Path(__file__), folder / "_events.py"):
            if path.suffix in (".py", ".yaml", ".lark"):
                digest.update(path.read_bytes())
    return digest.hexdigest()
