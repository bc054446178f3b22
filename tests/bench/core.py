"""What the pure core costs without Kafka, in CPU µs per event: decode, load, fold, processor, encode; and per timer visit.

One partition with the 200,000 customers of a shop with a past (a trained churn model is in force, all shipped rules wait), the
benchmarks' usual mix in batches of 2,000, and timers that fire between the batches while two days go by. The stages add up to
the whole: loading, folding and encoding are done once more by themselves on copies, and what they leave is the processor's. (By
themselves they find their memory in the caches, so they are shown a little too cheap and the processor too dear.) Garbage is
collected as the worker does.
"""

from __future__ import annotations

import gc
import json as json_module
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import islice
from time import process_time
from typing import Any, ParamSpec, TypeVar

from stream.actions.message import Stream
from stream.config import Settings
from stream.events.codec import Decoded, Decoder
from stream.events.instants import DAY_MS, parse_ms
from stream.events.kinds import Event
from stream.events.record import Record
from stream.outcome import Outcome
from stream.processor import Partition
from stream.processor.epochs import Coordinator, decode_contribution, decode_epoch
from stream.processor.partition import PARTITION_KEY
from stream.rules.loader import load_rules
from stream.state.customer import Customer, decode, encode
from stream.worker import COLLECT_AFTER
from tests.bench._events import CUSTOMERS, FIRST, events
from tests.bench._warm import Warm, warm_shop

T = TypeVar("T")
P = ParamSpec("P")

EVENTS = 60_000
DAYS = 2
"""Days that the events are spread over. More: mostly timers are measured; fewer: no day would end in between."""
BATCH = 2_000
STAGES = ("decode", "load", "fold", "processor", "encode", "commit")


class Store(dict[bytes, bytes]):
    """Committed records, noting which of them the partition had to load."""

    loaded: list[bytes]

    def get(self, key: bytes, default: Any = None) -> Any:
        """As ``dict.get``."""
        value = super().get(key, default)
        if value is not None:
            self.loaded.append(value)
        return value


class Shell:
    """What stands around a partition: offsets, durable records, epochs."""

    def __init__(self, settings: Settings, warm: Warm) -> None:
        self.settings = settings
        self.store = Store(warm.customers)
        self.store[PARTITION_KEY] = warm.partition
        self.store.loaded = []
        self.told: Counter[str] = Counter()
        self.partition = Partition(settings, load_rules(), partition=0, partitions=1, store=self.store)
        self.partition.recover(parse_ms(FIRST))
        epoch = decode_epoch(warm.epoch)
        self.partition.adopt(epoch)
        self._coordinator = Coordinator(settings, 1)
        self._coordinator.resume(epoch)

    def sink(self, out: Outcome) -> None:
        """Makes an outcome durable."""
        self.store.update((key, value) for key, value in out.changed.items() if value is not None)
        self.partition.commit()

    def pass_on(self, out: Outcome) -> None:
        """Counts what was published, and folds the day's version when the day is over."""
        for message in out.messages:
            self.told[message.stream.value] += 1
            if message.stream is Stream.CONTRIBUTIONS and message.value:
                self._coordinator.contribute(decode_contribution(message.value))
        epoch = self._coordinator.fold()
        if epoch is not None:
            self.told["epochs"] += 1
            self.partition.adopt(epoch)

    def tick_until(self, now_ms: int, visits: Stages) -> None:
        """Lets timers fire up to an instant."""
        while (due_ms := self.partition.next_due_ms()) is not None and due_ms <= now_ms:
            out = visits.whole(self, self.partition.tick, now_ms)
            changed = [decode(value) for key, value in out.changed.items() if value and key != PARTITION_KEY]
            visits.take("encode", _encode_all, changed)
            visits.count += len(changed)
            self.pass_on(out)


class Stages:
    """CPU seconds by stage, and of how many things."""

    def __init__(self) -> None:
        self.count = 0
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def take(self, stage: str, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Does some work for a stage."""
        before = process_time()
        result = work(*args, **kwargs)
        self._seconds[stage] += process_time() - before
        return result

    def whole(self, shell: Shell, work: Callable[P, Outcome], *args: P.args, **kwargs: P.kwargs) -> Outcome:
        """A step of the partition, made durable; what it loaded is decoded once more for the figure of loading."""
        shell.store.loaded.clear()
        out = self.take("processor", work, *args, **kwargs)
        self.take("load", _load_all, shell.store.loaded.copy())
        self.take("commit", shell.sink, out)
        return out

    def table(self, *inside: str) -> dict[str, float]:
        """µs a piece by stage, the total last. The stages ``inside``, and loading, were part of the processor's time."""
        us = {stage: seconds * 1e6 / self.count for stage, seconds in self._seconds.items()}
        us["processor"] -= sum(us[stage] for stage in ("load", *inside))
        table = {stage: us[stage] for stage in STAGES if stage in us}
        return {**table, "total": sum(table.values())}


def main(json: bool) -> None:
    """Prints the table, or the same as JSON."""
    settings = Settings(partitions=1)
    figures = measured(Shell(settings, warm_shop(settings, CUSTOMERS, parse_ms(FIRST), _progress)))
    if json:
        print(json_module.dumps(figures))
        return
    print(f"{figures['events']:,} events of {CUSTOMERS:,} customers: CPU µs per event")
    _print_table(figures["us_per_event"])
    print(f"  {figures['eps']:,.0f} events/s on one core\n\n{figures['visits']:,} visits by timers: CPU µs per visit")
    _print_table(figures["us_per_visit"])
    print("\npublished: " + ", ".join(f"{n:,} {name}" for name, n in figures["told"].items()))


def measured(shell: Shell) -> dict[str, Any]:
    """All figures, of events and of visits by timers."""
    of_events, of_visits = Stages(), Stages()
    decoder = Decoder(shell.settings)
    load = events(EVENTS, customers=CUSTOMERS, first=FIRST, days=DAYS, seed=3)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    while lines := list(islice(load, BATCH)):
        first = of_events.count
        of_events.count += len(lines)
        now_ms = parse_ms(FIRST) + of_events.count * DAYS * DAY_MS // EVENTS
        records = [Record(topic, 0, first + n, now_ms, key, value) for n, (topic, key, value) in enumerate(lines)]
        shell.tick_until(now_ms, of_visits)
        batch = of_events.take("decode", _decode_all, decoder, records)
        happened = [event for _, event in batch if isinstance(event, Event)]
        keys = {event.customer.encode() for event in happened}
        copies = {key: decode(value) if (value := shell.store.get(key)) else Customer() for key in keys}
        of_events.take("fold", _fold_all, happened, copies, shell.settings)
        of_events.take("encode", _encode_all, copies.values())
        shell.pass_on(of_events.whole(shell, shell.partition.apply_decoded, batch, now_ms))
    gc.unfreeze()
    per_event, per_visit = of_events.table("fold", "encode"), of_visits.table("encode")
    return {
        "events": of_events.count,
        "eps": 1e6 / per_event["total"],
        "us_per_event": per_event,
        "visits": of_visits.count,
        "us_per_visit": per_visit,
        "told": dict(sorted(shell.told.items())),
    }


def _decode_all(decoder: Decoder, records: Iterable[Record]) -> list[tuple[Record, Decoded]]:
    return [(record, decoder.decode(record)) for record in records]


def _load_all(values: Iterable[bytes]) -> None:
    for value in values:
        decode(value)


def _fold_all(happened: Iterable[Event], customers: dict[bytes, Customer], settings: Settings) -> None:
    for event in happened:
        customers[event.customer.encode()].apply(event, settings)


def _encode_all(customers: Iterable[Customer]) -> None:
    for customer in customers:
        encode(customer)


def _print_table(stages: dict[str, float]) -> None:
    for stage, us in stages.items():
        print(f"  {stage:<12}{us:>9.2f}")


def _progress(what: str, done: int, total: int) -> None:
    print(f"\r{what}: {done:,} of {total:,}", end="", file=sys.stderr)
