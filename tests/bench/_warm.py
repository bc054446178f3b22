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
from stream.processor import Partition
from stream.processor.epochs import epoch_message
from stream.processor.partition import PARTITION_KEY
from stream.rules.loader import load_rules
from stream.state.customer import decode, encode
from stream.testing import Shop
from tests.bench._events import events, ranked_keys

DAYS = 180
"""Long enough for labels: a horizon of 90 days, and as much again of examples."""
EVENTS_PER_CUSTOMER = 15
MOST_LIVED = 20_000
"""Customers whose half year is really lived through, some minutes of work; larger shops have several copies of each,
next to each other in the order of how busy they are."""
_BATCH = 2_000
_STALE_MS = 60_000
"""A kept shop that is older is brought up to now. Longer: a benchmark begins with the timers of the meantime."""

Progress = Callable[[str, int, int], None]


class Warm(msgspec.Struct):
    """What the worker of such a shop finds when it starts."""

    customers: dict[bytes, bytes]
    """Encoded records by key."""
    partition: bytes
    """The partition's own record; the same for each, since all closed the same day."""
    epoch: bytes
    """The version of thresholds and model that holds today."""
    as_of_ms: int = 0
    """Up to when everything that is due has been done."""

    def partitioned(self, partitions: int) -> Iterator[tuple[int, list[tuple[bytes, bytes]]]]:
        """(partition, its changelog)."""
        parts: list[list[tuple[bytes, bytes]]] = [[(PARTITION_KEY, self.partition)] for _ in range(partitions)]
        for key, value in self.customers.items():
            parts[owner_partition(key, partitions)].append((key, value))
        yield from enumerate(parts)


def warm_shop(settings: Settings, customers: int, now_ms: int, progress: Progress | None = None) -> Warm:
    """The shop as it is now, with today's thresholds and model, before the day's first event."""
    midnight_ms = now_ms - now_ms % DAY_MS
    mark = f"shop-{_code()}-{midnight_ms // DAY_MS}"
    folder = Path.home() / ".cache" / "winback" / "bench"
    kept = folder / f"{mark}-{customers}.msgpack"
    tell = progress or (lambda *_: None)
    if kept.is_file():
        warm = msgspec.msgpack.decode(kept.read_bytes(), type=Warm)
        if now_ms - warm.as_of_ms > _STALE_MS:
            _catch_up(settings, warm, now_ms, tell)
            _keep(kept, warm)
        return warm
    if customers <= MOST_LIVED:
        warm = _build(settings, customers, midnight_ms, tell)
    else:
        warm = _copied(warm_shop(settings, MOST_LIVED, now_ms, progress), customers)
    _settle(settings, warm, now_ms, tell)
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("shop-*.msgpack"):
        if not old.name.startswith(mark):
            old.unlink()
    _keep(kept, warm)
    return warm


def _keep(kept: Path, warm: Warm) -> None:
    fresh = kept.with_suffix(".new")
    fresh.write_bytes(msgspec.msgpack.encode(warm))
    fresh.replace(kept)


def _copied(warm: Warm, customers: int) -> Warm:
    """A larger shop out of a smaller one."""
    originals, keys = ranked_keys(MOST_LIVED), ranked_keys(customers)
    found = ((key, warm.customers.get(originals[rank * MOST_LIVED // customers])) for rank, key in enumerate(keys))
    return Warm({key: value for key, value in found if value is not None}, warm.partition, warm.epoch)


def _settle(settings: Settings, warm: Warm, now_ms: int, progress: Progress) -> None:
    """Does what is due by now. A customer's calendar hangs on their id, so every copy is asked for its own."""
    store = warm.customers
    for key, value in store.items():
        customer = decode(value)
        customer.next_due_ms = 1
        store[key] = encode(customer)
    _catch_up(settings, warm, now_ms, progress)


def _catch_up(settings: Settings, warm: Warm, now_ms: int, progress: Progress) -> None:
    """Does what has become due by now."""
    store = warm.customers
    store[PARTITION_KEY] = warm.partition
    wall = msgspec.structs.replace(settings, clock="wall", partitions=1)
    partition = Partition(wall, load_rules(), partition=0, partitions=1, store=store)
    partition.recover(now_ms)
    partition.follow(warm.epoch)
    done = 0
    while (due_ms := partition.next_due_ms()) is not None and due_ms <= now_ms:
        out = partition.tick(now_ms)
        store.update((key, value) for key, value in out.changed.items() if value is not None)
        partition.commit()
        done += len(out.changed)
        progress("doing what is due by now", done, len(store))
    del store[PARTITION_KEY]
    warm.as_of_ms = now_ms


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
    shop.coordinator.hand_over(shop.epoch)
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
