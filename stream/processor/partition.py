"""The processor of one Kafka partition: a batch of records and the states in, new states and messages out.

The same object serves live, replay, backtest, tests and benchmarks. It is told the time and keeps none. With the wall clock
``now_ms`` is the time of the call; with the event clock it is the merged head of the inputs, and timers that fall due between
two events of a batch fire between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from stream.actions.codec import dead_letter
from stream.actions.message import Message, Stream
from stream.config import Settings
from stream.events.codec import Decoded, Decoder
from stream.events.hashing import owner_partition
from stream.events.instants import DAY_MS, day_of
from stream.events.kinds import Event, Purchase
from stream.events.record import Record
from stream.events.rejected import Ignored, Reason, Rejected, Stage
from stream.experiments.tally import merged
from stream.feedback.sentiment import Sentiment
from stream.governance.asked import Controls
from stream.governance.checks import PAUSE_RETRY_MS
from stream.governance.ledger import Ledger
from stream.kpis.look import listed
from stream.outcome import Outcome
from stream.processor.browsing import Browsing
from stream.processor.buying import Buying
from stream.processor.customers import CustomerWork
from stream.processor.due_index import DueIndex
from stream.processor.epochs import (
    DayClosed,
    Epoch,
    Figures,
    Likeness,
    Looked,
    Tallies,
    contribution_message,
    decode_epoch,
    in_days,
    members_in_days,
    orders_in_days,
    texts_in_days,
)
from stream.processor.finding import found_in
from stream.processor.residents import Resident, Residents, key_of
from stream.processor.runs import Batch, in_runs
from stream.processor.stale import Stale
from stream.processor.view import brief_view, customer_view, drivers_view, product_view, score_view
from stream.products.associations import Associations
from stream.rules.rule import RuleSet
from stream.segments.population import Histograms
from stream.segments.schemes import by_class
from stream.segments.wanted import Wanted, wanted
from stream.state.customer import Head, encode, head
from stream.state.messages import Seen
from stream.state.orders import Applied

PARTITION_ID = "\x00partition"
PARTITION_KEY = PARTITION_ID.encode()
"""Key of the partition's own record. No customer has it: a customer's key never starts with a zero byte of ours."""
STALE_CUSTOMERS = 250
"""Customers one tick finds the due instants of anew, after the rules have changed. More: a step takes longer than the 50 ms
after which decisions notice; fewer: it takes longer until the last timer of a million is found."""
TICK_CUSTOMERS = 1_000
"""Customers one tick may fire. More: a million lapsing at midnight would make one huge transaction; fewer: overhead."""


class PartitionRecord(msgspec.Struct, array_like=True):
    """What the partition remembers of itself."""

    version: int = 1
    closed_day: int | None = None
    """The last UTC day whose contributions are complete and published."""
    ledger: Ledger = msgspec.field(default_factory=Ledger)
    """What was spent, and how fast."""
    timed_by: int = 0
    """The rules that the due instants in all customers' records are right by; see `stream.processor.customers.timed_by`."""
    begun: dict[str, tuple[int, int]] = {}
    """Event clock: rule → (when it was published as it is, where this partition's history had got to by then)."""


class Partition:
    """One partition's customers. See `stream.agents.ports.Processor` for how the shell drives it.

    ``records`` is for history, with the event clock, where nothing is ever taken back. It is the store itself: a record is
    written to it when its customer leaves memory, instead of with every step (`write_down`). And each customer has a clock of
    its own: the records of a batch are of one UTC day, each customer's in order of time, the customers in any order, as they
    share nothing but what changes at midnight. Time moves on for everybody with `tick` only.
    """

    def __init__(
        self,
        settings: Settings,
        rules: RuleSet,
        *,
        partition: int,
        partitions: int,
        store: Mapping[bytes, bytes],
        decoder: Decoder | None = None,
        records: dict[bytes, bytes] | None = None,
        room_bytes: int = 0,
    ) -> None:
        self._settings = settings
        self._number = partition
        self._partitions = partitions
        self._store = store
        self._decoder = decoder or Decoder(settings)
        self._event_clock = settings.clock == "event"
        topics = (*settings.input_topics, settings.topic_repartition)
        self._slot = {topic: slot for slot, topic in enumerate(topics)}
        self._rules = rules
        self._begun: dict[str, tuple[int, int]] = {}
        self._work = CustomerWork(settings, rules, partitions)
        self._browsing = Browsing(rules, settings)
        self._buying = Buying(rules, settings, self._work)
        self._due = DueIndex()
        self._stale = Stale()
        self._waking = Stale()
        self._lifted_ms = 0
        self._record = self._stored_record()
        self._work.engine.ledger = self._record.ledger
        self._epoch_day: int | None = None
        self._now_ms = 0
        self._history_only = records is not None
        self._residents = Residents(store, self._work.timed_by, records, room_bytes)
        self._record_touched = False
        self._history: set[bytes] = set()
        self._recovered: dict[int, int] = {}

    # -- what the shell calls

    def recover(self, now_ms: int) -> None:
        """Builds the due index and the population from the store that has just been restored."""
        self._residents.clear()
        self._now_ms = 0
        self._reload_record()
        self._work.census.histograms = Histograms()
        self._recovered = {}
        self._due.rebuild(self._recover_customers(self._work.census.histograms, self._recovered))
        self._find_stale()
        if self._event_clock and self._record.closed_day is not None:
            self._now_ms = (self._record.closed_day + 1) * DAY_MS
        elif now_ms:
            self._now_ms = now_ms
        self._waking.forget()
        if self._record.ledger.waits:
            self._look_for_waiting()

    def _recover_customers(self, histograms: Histograms, offsets: dict[int, int]) -> Iterator[tuple[bytes, int]]:
        """Key and due instant of every customer; the heads of their records are enough."""
        for key, value in self._store.items():
            if key == PARTITION_KEY:
                continue
            known = head(value)
            for slot, offset in enumerate(known.stamps):
                if offset > offsets.get(slot, -1):
                    offsets[slot] = offset
            population = known.population
            if population is not None:
                histograms.count(population, +1)
            yield key, known.next_due_ms

    def apply(self, records: Sequence[Record], now_ms: int) -> Outcome:
        """One batch of records, each customer's in the given order."""
        decode_record = self._decoder.decode
        return self.apply_decoded([(record, decode_record(record)) for record in records], now_ms)

    def apply_decoded(self, batch: Batch, now_ms: int) -> Outcome:
        """As `apply`, for records that are decoded already (replay decodes once, to sort)."""
        out = Outcome()
        if not self._event_clock:
            # Timers are left to `tick`: one that fails must not look like a record's fault.
            self._now_ms = now_ms
            if self._record.closed_day is None:
                self._close_day(day_of(now_ms) - 1, out)
        else:
            self._catch_up(out)
        self._fold(batch if self._event_clock else in_runs(batch), now_ms, out)
        self._encode(out)
        return out

    def tick(self, now_ms: int) -> Outcome:
        """Fires what is due up to ``now_ms``, at most a slice of it, and closes UTC days that are over."""
        out = Outcome()
        if self._event_clock:
            self._catch_up(out)
        if not self._waits_for_epoch():
            self._advance(now_ms, out, TICK_CUSTOMERS, pause=True)
        if self._waking:
            self._wake(STALE_CUSTOMERS, out)
        if self._stale:
            self._find_dues_anew(STALE_CUSTOMERS, out)
        self._encode(out)
        return out

    def next_due_ms(self) -> int | None:
        """When ``tick`` has something to do: the earliest timer, or the end of the UTC day.

        With the event clock nothing is due while the version of the open day is missing: what falls on midnight itself
        belongs to the new day.

        While customers' due instants are found anew, or what a pause has held back is let go, there is something to do at once: an instant that is over, and another one
        after each slice, so that who ticks sees it move.
        """
        if self._stale or self._waking:
            return self._now_ms if self._event_clock else self._stale.slices + self._waking.slices
        if self._waits_for_epoch():
            return None
        if self._record.closed_day is None:
            return self._due.next_ms()
        due_ms = self._due.next_ms()
        return self._boundary_ms() if due_ms is None else min(due_ms, self._boundary_ms())

    def awaits_epoch(self, now_ms: int) -> bool:
        """Whether the version of ``now_ms``'s UTC day has not been followed yet."""
        return self._epoch_day is None or self._epoch_day < day_of(now_ms)

    def follow(self, epoch: bytes) -> None:
        """Takes over a version of the thresholds and the model."""
        self.adopt(decode_epoch(epoch))

    def adopt(self, epoch: Epoch) -> None:
        """As `follow`, for a version that is decoded already."""
        if self._epoch_day is not None and epoch.day < self._epoch_day:
            return
        self._epoch_day = epoch.day
        self._work.census.follow(epoch.thresholds)
        self._work.scorer.follow(epoch.model)
        self._work.scorer.group(epoch.clusters)
        self._work.engine.follow(epoch.weights, epoch.stopped)
        self._work.engine.associations = Associations(epoch.products)
        self._work.baskets.sample.admitted = epoch.orders_admitted
        self._work.hearing.sentiment = Sentiment(epoch.sentiment)
        self._work.quality.usual, self._work.quality.means = epoch.usual, epoch.means
        self._work.valuing.follow(epoch.value, epoch.panel_below)

    def adopt_rules(self, rules: RuleSet, *, by_event_time: bool = False) -> None:
        """Decides by these rules from now on: between two steps, so that no step mixes two versions.

        Timers of rules that are new or moved are found without an event: every customer is looked at once more, in slices that go
        along with the ticks to come, and a restart in the middle begins that anew.

        ``by_event_time``: they were published by another clock than this partition's, which plays history. Timers that begin with
        a publication then begin where that history has got to.
        """
        assert not self._history_only, "history has one set of rules"
        self._rules = rules
        if by_event_time:
            self._begun = self._beginnings(rules.live_from_ms)
            self._record.begun, self._record_touched = self._begun, True
            rules = RuleSet(
                rules.rules,
                live_from_ms={rule_id: begun_ms for rule_id, (_, begun_ms) in self._begun.items()},
                retired=rules.retired,
            )
        self._work.adopt_rules(rules)
        self._browsing = Browsing(rules, self._settings)
        self._buying = Buying(rules, self._settings, self._work)
        self._residents.timed_otherwise(self._work.timed_by)
        self._find_stale()

    def control(self, controls: Controls) -> None:
        """What people have switched holds from the next step on. What has waited for the end of a pause goes on at once."""
        engine = self._work.engine
        before, engine.controls = engine.controls, controls
        if engine.ledger.waits and before.is_lifted_by(controls):
            self._look_for_waiting()

    @property
    def rules(self) -> RuleSet:
        """The rules in use, as they were given."""
        return self._rules

    def commit(self) -> None:
        """What was returned since the last commit is durable."""
        self._stale.commit()
        self._waking.commit()
        self._residents.age()
        self._record_touched = False

    def write_down(self) -> None:
        """Brings ``records`` up to date."""
        self._residents.write_down()

    def rollback(self) -> None:
        """What was returned since the last commit never happened: state is as the store has it."""
        histograms = self._work.census.histograms
        changed = [(resident.key, resident.customer.memory.population) for resident in self._residents.touched]
        changed += [(key, head(value).population) for key, value in self._residents.extended.items()]
        for key, population in changed:
            if population is not None:
                histograms.count(population, -1)
            before = self._stored_head(key)
            if before is not None and before.population is not None:
                histograms.count(before.population, +1)
            self._due.set(key, 0 if before is None else before.next_due_ms)
        self._residents.clear()
        self._work.scorer.matured.clear()
        self._work.scorer.seen.clear()
        self._work.engine.measuring.tallied.clear()
        self._work.looking.looks.clear()
        self._work.baskets.forget()
        self._work.hearing.forget()
        self._work.quality.sums.clear()
        self._work.valuing.looks.clear()
        self._stale.rollback()
        self._waking.rollback()
        self._reload_record()
        if self._event_clock:
            self._now_ms = 0 if self._record.closed_day is None else (self._record.closed_day + 1) * DAY_MS

    def customer(self, customer_id: str, now_ms: int) -> dict[str, Any] | None:
        """One customer as JSON-able data, as of ``now_ms``; ``None`` when unknown here."""
        resident = None if customer_id == PARTITION_ID else self._residents.look(customer_id)
        if resident is None:
            return None
        return customer_view(self._work, resident, max(now_ms, self._now_ms), self._settings)

    def customers(self, as_of_ms: int) -> Iterator[dict[str, Any]]:
        """Every customer as `customer` has them, ascending by id."""
        for resident in self._everybody():
            yield customer_view(self._work, resident, as_of_ms, self._settings)

    def scores(self, as_of_ms: int) -> Iterator[dict[str, Any]]:
        """The churn score of everyone who has bought, as of an instant, with the features it was made of."""
        for resident in self._everybody():
            view = score_view(self._work, resident, as_of_ms)
            if view is not None:
                yield view

    def find(self, asked: Mapping[str, str], after: str, now_ms: int) -> Iterator[dict[str, Any] | None]:
        """Customers of a tier, a segment, a class, with a tag, suspects (`stream.segments.wanted`), JSON-able, as `stream.processor.finding` does.

        Raises:
            ValueError: something is asked for that there isn't.
        """
        who, now_ms = wanted(asked), max(now_ms, self._now_ms)
        return found_in(self._store, who, after, lambda key: self._brief(key, who, now_ms), self._work.census.tier_of)

    def product(self, product_id: str) -> dict[str, Any]:
        """What is known of a product, JSON-able: what it is bought together with, and what is bought next."""
        return product_view(self._work.engine.associations, product_id, self._epoch_day)

    def drivers(self) -> dict[str, Any]:
        """What goes along with loyalty and money three months later, JSON-able."""
        return drivers_view(self._work.valuing.model.forecast, self._epoch_day)

    def population(self) -> tuple[Mapping[str, int], Mapping[str, int], Mapping[tuple[str, str], int]]:
        """Number of customers by tier, by segment, and by (scheme, class) of the other schemes."""
        histograms = self._work.census.histograms
        return histograms.tiers, histograms.segments, by_class(histograms.classes)

    def source_offsets(self) -> dict[str, int]:
        """Last applied offset by source topic, as the customers' records had it when the state was recovered."""
        return {topic: self._recovered[slot] for topic, slot in self._slot.items() if slot in self._recovered}

    @property
    def now_ms(self) -> int:
        """The latest instant this partition has been told."""
        return self._now_ms

    # -- inside

    def _stored_record(self) -> PartitionRecord:
        own = self._store.get(PARTITION_KEY)
        if own:
            return msgspec.msgpack.decode(own, type=PartitionRecord)
        return PartitionRecord(timed_by=0 if len(self._store) else self._work.timed_by)

    def _reload_record(self) -> None:
        """What the store has of the partition itself. When rules have begun is no step's work, so it outlives one that is undone."""
        self._record = self._stored_record()
        self._work.engine.ledger = self._record.ledger
        self._record_touched = self._work.engine.ledger_touched = False
        if self._begun != self._record.begun:
            self._record.begun, self._record_touched = self._begun, True

    def _beginnings(self, published_ms: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        known, closed_day = self._record.begun, self._record.closed_day
        now_ms = max(self._now_ms, 0 if closed_day is None else (closed_day + 1) * DAY_MS)
        return {
            rule_id: known[rule_id] if known.get(rule_id, (0, 0))[0] == at_ms else (at_ms, min(at_ms, now_ms))
            for rule_id, at_ms in published_ms.items()
        }

    def _find_stale(self) -> None:
        """Begins to look for due instants that other rules have left, unless all are right."""
        if self._history_only:
            return
        if self._record.timed_by == self._work.timed_by:
            self._stale.forget()
        else:
            # A store in memory can't be gone through while it changes; one on disk is, without all keys in memory.
            self._stale.begin(list(self._store) if isinstance(self._store, dict) else self._store)

    def _catch_up(self, out: Outcome) -> None:
        """Event clock: what other rules and switches bring about, before time goes on."""
        if self._waking:
            self._wake(None, out)
        if self._stale:
            self._find_dues_anew(None, out)

    def _look_for_waiting(self) -> None:
        """Begins to look for actions that wait for the end of a pause. All are due by then, or wait for something else too."""
        self._lifted_ms = self._now_ms  # a step that is rolled back takes the event clock with it
        self._waking.begin(self._due.until(self._lifted_ms + PAUSE_RETRY_MS))

    def _wake(self, most: int | None, out: Outcome) -> None:
        """Judges again what the next customers have waiting for the end of a pause, where it has ended."""
        residents, engine = self._residents, self._work.engine
        now_ms = max(self._now_ms, self._lifted_ms)
        for key in self._waking.take(most):
            resident = residents.find(key.decode())
            if resident is None:
                continue
            memory = resident.customer.memory
            if memory.pending_ms and memory.plan().wake(now_ms, engine.controls.stops):
                memory.pending_ms = memory.plan().next_ms
                self._fire(key, now_ms, out)
            elif not resident.touched:
                residents.drop(resident)
        if self._waking.is_through and not engine.controls.paused_by and not engine.controls.stopped_rules:
            engine.ledger.waits, engine.ledger_touched = False, True

    def _find_dues_anew(self, most: int | None, out: Outcome) -> None:
        """Brings the due instants of the next customers up to date with the rules, and their records where that changes them."""
        residents, work = self._residents, self._work
        for key in self._stale.take(most):
            resident = None if key == PARTITION_KEY else residents.find(key.decode())
            if resident is None:
                continue
            due_ms = work.next_due_ms(resident, work.profile(resident, max(self._now_ms, resident.as_of_ms)))
            if due_ms != resident.customer.next_due_ms:
                residents.touch(resident)
                resident.customer.next_due_ms = resident.indexed_ms = due_ms
                self._due.set(key, due_ms)
                residents.put_away(resident)
            elif not resident.touched:
                residents.drop(resident)
        if self._stale.is_through:
            self._record.timed_by, self._record_touched = work.timed_by, True

    def _stored_head(self, key: bytes) -> Head | None:
        value = self._store.get(key)
        return None if value is None else head(value)

    def _brief(self, key: bytes, who: Wanted, now_ms: int) -> dict[str, Any] | None:
        resident = self._residents.look(key.decode())
        return None if resident is None else brief_view(self._work, resident, now_ms, who)

    def _everybody(self) -> Iterator[Resident]:
        keys = self._store.keys() | self._residents.changed_keys()
        for key in sorted(keys - {PARTITION_KEY}):
            resident = self._residents.look(key.decode())
            if resident is not None:
                yield resident

    def _fold(self, batch: Iterable[tuple[Record, Decoded]], now_ms: int, out: Outcome) -> None:
        """A batch of records: each refused, or folded in with everything that follows from it.

        This is where the time goes, so ordinary events meet nothing here but what every event needs.
        """
        residents, work, settings = self._residents, self._work, self._settings
        young, extended, store = residents.young, residents.extended, self._store
        ways = {} if self._history_only else self._browsing.ways  # in history who is busy stays decoded
        extend = self._browsing.extended
        buy = self._buying.extended
        buys = Purchase if self._buying.is_open and not self._history_only else None
        slots, set_due = self._slot, self._due.set
        late_ms = out.telemetry.lateness_ms
        own_clocks = self._history_only
        event_clock = self._event_clock and not own_clocks
        happened: list[tuple[str, str]] = []
        resident: Resident | None = None
        try:
            for record, decoded in batch:
                short = ways.get(type(decoded))  # type: ignore[arg-type]
                if short is None and isinstance(decoded, _NO_EVENT):
                    self._pass_over(record, decoded, now_ms, out)
                    continue
                event: Event = decoded  # type: ignore[assignment]
                if event_clock:
                    self._advance(event.time_ms, out)
                    now_ms = self._now_ms
                topic, offset, customer_id = record.topic, record.offset, event.customer
                slot = slots.get(topic, 0)
                resident = young.get(customer_id)
                if resident is None:
                    if short is not None or type(event) is buys:
                        key = customer_id.encode() if customer_id.isascii() else key_of(customer_id)
                        value = extended.get(key) or store.get(key)
                        if value is None:
                            done = None
                        elif short is not None:
                            done = extend(value, event, short, slot, offset)
                        else:
                            done = buy(value, event, slot, offset, now_ms, out)  # type: ignore[arg-type]
                        if done is not None:
                            extended[key], due_ms = done
                            late_ms.append(now_ms - event.time_ms)
                            happened.append((topic, event.kind))
                            if short is None or short.moves_due:
                                set_due(key, due_ms)
                            continue
                    resident = residents.find(customer_id) or self._stranger(event, record, out)
                    if resident is None:
                        continue
                customer = resident.customer
                if own_clocks:
                    now_ms = event.time_ms
                    while 0 < customer.next_due_ms <= now_ms:
                        self._fire(resident.key, customer.next_due_ms, out)
                if 0 <= offset <= customer.stamps[slot]:
                    out.telemetry.ignored[(topic, "already_applied")] += 1
                    continue
                if event.backfill:
                    self._history.add(resident.key)
                    work.catch_up_calendar(resident, work.profile(resident, event.time_ms), out)
                applied = customer.apply(event, settings)
                if applied in _FOLDED:
                    repeated = False
                else:
                    work.refused(resident, event)
                    repeated = applied is Seen.DUPLICATE or applied is Applied.DUPLICATE
                    if not repeated:
                        self._refuse(record, _refusal(event, applied), out)
                        if not resident.touched and resident.key not in store:
                            residents.drop(resident)  # nobody yet
                        continue
                    out.telemetry.ignored[(topic, "duplicate")] += 1
                if offset >= 0:
                    customer.stamps[slot] = offset
                if not resident.touched:
                    residents.touch(resident)
                if repeated:
                    continue
                happened.append((topic, event.kind))
                customer.next_due_ms = due_ms = work.happened(resident, event, applied, record, now_ms, out)
                if due_ms != resident.indexed_ms:
                    resident.indexed_ms = due_ms
                    set_due(resident.key, due_ms)
                if not own_clocks:
                    residents.put_away(resident)
        except BaseException:
            if resident is not None:
                residents.drop(resident)  # perhaps half changed
            raise
        out.telemetry.events.update(happened)

    def _stranger(self, event: Event, record: Record, out: Outcome) -> Resident | None:
        """Somebody new, or ``None`` when the customer belongs to another partition, where the record is sent on to."""
        key = event.customer.encode()
        owner = owner_partition(key, self._partitions) if self._partitions > 1 else self._number
        if owner == self._number:
            return self._residents.add(event.customer, key)
        out.telemetry.ignored[(record.topic, "repartitioned")] += 1
        out.messages.append(Message(Stream.REPARTITION, key, record.value, record.headers, partition=owner))
        return None

    def _pass_over(self, record: Record, decoded: Rejected | Ignored, now_ms: int, out: Outcome) -> None:
        if isinstance(decoded, Rejected):
            self._refuse(record, decoded, out)
            return
        out.telemetry.ignored[(record.topic, decoded.why)] += 1
        if decoded.why == "backfill_end":
            self._history_ended(now_ms, out)

    def _refuse(self, record: Record, rejected: Rejected, out: Outcome) -> None:
        out.telemetry.rejected[(record.topic, rejected.stage.value, rejected.reason.value)] += 1
        out.messages.append(dead_letter(record, rejected))

    def _advance(self, now_ms: int, out: Outcome, most: int | None = None, *, pause: bool = False) -> None:
        """Moves time on: fires what is due, in order, and closes the UTC days that end on the way.

        With the event clock every timer fires at its own due time, and ``pause`` stops after closing a day, so that the
        caller can wait for the new day's epoch. With the wall clock days are closed first and timers fire now.
        """
        if self._event_clock and now_ms < self._now_ms:
            return
        if self._record.closed_day is None:
            self._close_day(day_of(now_ms) - 1, out)
            if pause and self._event_clock:
                return
        due, event_clock = self._due, self._event_clock
        fired = 0
        while most is None or fired < most:
            due_ms = due.next_ms() if event_clock else None
            reached_ms = now_ms if due_ms is None else min(now_ms, due_ms)
            if self._boundary_ms() <= reached_ms:
                self._close_day(day_of(reached_ms) - 1, out)
                if pause and event_clock:
                    return
                continue
            is_idle = event_clock and (due_ms is None or due_ms > now_ms)
            popped = None if is_idle else due.pop_due(now_ms)
            if popped is None:
                self._now_ms = now_ms
                return
            # What an event has made overdue (a reminder of a purchase that came sooner) is decided as of that event: at its own
            # instant, nothing of the event is known, and every message since would have to be looked at one by one.
            self._now_ms = max(self._now_ms, popped[0]) if event_clock else now_ms
            self._fire(popped[1], self._now_ms, out)
            fired += 1

    def _waits_for_epoch(self) -> bool:
        closed_day = self._record.closed_day
        if not self._event_clock or closed_day is None:
            return False
        return self._epoch_day is None or self._epoch_day <= closed_day

    def _boundary_ms(self) -> int:
        """The end of the UTC day that is open."""
        return ((self._record.closed_day or 0) + 2) * DAY_MS

    def _fire(self, key: bytes, now_ms: int, out: Outcome) -> None:
        resident = self._residents.find(key.decode())
        if resident is None:
            return
        self._residents.touch(resident)  # first: a timer that raises is put back by `rollback`
        if self._history_only:
            now_ms = max(now_ms, resident.customer.messages.newest_ms())  # the customer's own clock
        due_ms = self._work.due(resident, now_ms, out)
        resident.customer.next_due_ms = resident.indexed_ms = due_ms
        self._due.set(key, due_ms)
        if not self._history_only:
            self._residents.put_away(resident)

    def _close_day(self, day: int, out: Outcome) -> None:
        """Ends a UTC day: the contributions of this partition up to and with it are complete."""
        self._contribute(out)
        self._work.baskets.sample.start_again()
        self._work.hearing.sample.start_again()
        self._record.closed_day = day
        self._record_touched = True
        contribution = DayClosed(partition=self._number, day=day, histograms=self._work.census.histograms)
        out.messages.append(contribution_message(contribution))

    def _contribute(self, out: Outcome) -> None:
        """Sends what has come together since the last time, as part of the day that is open."""
        matured, tallied = self._work.scorer.matured, self._work.engine.measuring.tallied
        day = (self._record.closed_day or 0) + 1
        if tallied:
            out.messages.append(contribution_message(Tallies(partition=self._number, day=day, tallies=merged(tallied))))
            tallied.clear()
        looks = self._work.looking.looks
        if looks:
            out.messages.append(contribution_message(Looked(partition=self._number, day=day, looks=listed(looks))))
            looks.clear()
        baskets = self._work.baskets.taken
        if baskets:
            out.messages.extend(orders_in_days(baskets, self._number, day))
            baskets.clear()
        sums = self._work.quality.sums
        if sums:
            out.messages.append(contribution_message(Figures(partition=self._number, day=day, sums=sums)))
            sums.clear()
        members = self._work.valuing.looks
        if members:
            out.messages.extend(members_in_days(members, self._number, day))
            members.clear()
        texts = self._work.hearing.heard
        if texts:
            out.messages.extend(texts_in_days(texts, self._number, day))
            texts.clear()
        seen = self._work.scorer.seen
        if seen:
            out.messages.append(contribution_message(Likeness(partition=self._number, day=day, seen=dict(seen))))
            seen.clear()
        if matured:
            out.messages.extend(in_days(matured, self._number, day))
            matured.clear()

    def _history_ended(self, now_ms: int, out: Outcome) -> None:
        """An import is complete: what it taught needs no further waiting. The work itself is left to ticks."""
        self._work.history_released_ms = now_ms
        self._residents.forget_dues()
        for key in self._history:
            resident = self._residents.look(key.decode())
            if resident is not None:
                resident.indexed_ms = self._work.next_due_ms(resident, self._work.profile(resident, now_ms))
                self._due.set(key, resident.indexed_ms)
        self._history.clear()

    def _encode(self, out: Outcome) -> None:
        """The changed records of this step. A customer touched many times in a batch is encoded once."""
        self._contribute(out)
        out.changed.update(self._residents.extended)
        for resident in () if self._history_only else self._residents.touched:
            out.changed[resident.key] = encode(resident.customer)
        if self._work.engine.ledger_touched:
            self._record_touched, self._work.engine.ledger_touched = True, False
        if self._record_touched:
            out.changed[PARTITION_KEY] = msgspec.msgpack.encode(self._record)


_NO_EVENT = (Rejected, Ignored)
_FOLDED = (Applied.CHANGED, Applied.UPDATED, Applied.SUPERSEDED)
"""What became of an event that is now part of the customer's facts."""


def _refusal(event: Event, applied: Applied | Seen) -> Rejected:
    if applied is Seen.OTHER_BODY:
        detail = f"message {event.message_id!r} of {event.customer!r} was seen before with another content"
        return Rejected(Stage.STATE, Reason.SAME_ID_OTHER_BODY, detail, "$.messageId")
    detail = "older than what is remembered of this customer, so it can't be told from a repeat"
    return Rejected(Stage.STATE, Reason.BEYOND_MEMORY, detail, "$.timestamp")
