"""What all partitions share, one version a UTC day: thresholds and churn model, folded from every partition's day.

Each partition sends the examples that matured and, when its day is over, a `DayClosed` with its population. When all have
closed a day, the one owner folds that day's examples in canonical order (time, customer) and publishes the version for the
next day. So scores and thresholds repeat, whatever the number of partitions or the order in which they report
(SEMANTICS "Epochs").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from stream.actions.codec import effects_message, kpis_message, model_message
from stream.actions.message import Message, Stream
from stream.churn.clusters import Clusters
from stream.churn.examples import Example
from stream.churn.fairness import Count, Fairness
from stream.churn.model import FrozenModel
from stream.churn.shift import Totals
from stream.config import Settings
from stream.errors import StateError
from stream.events.money import EXPONENT_OF
from stream.events.record import Record
from stream.events.sample import ALL
from stream.experiments.bandit import weights
from stream.experiments.published import effects, newly_heard, versions_of, with_old_ones_added_up
from stream.experiments.tally import Tally, merged
from stream.experiments.validation import validate, without_effect
from stream.feedback.sentiment import Heard
from stream.feedback.sentiment import Learner as Words
from stream.kpis.look import At, Look, Looking, Looks, add_to, listed
from stream.kpis.rates import kpis
from stream.outcome import Outcome
from stream.processor.ranks import weights_of
from stream.products.basket import Basket
from stream.products.learner import Learner
from stream.quality.means import Means, Sums, faded, merged_sums, take
from stream.quality.suspicion import Usual, usual
from stream.segments.population import Histograms, Thresholds, thresholds
from stream.segments.schemes import CLUSTER
from stream.worth.learner import Learner as Values
from stream.worth.model import ValueModel
from stream.worth.panel import ALL as EVERYBODY
from stream.worth.panel import Look as Member


class Examples(msgspec.Struct, tag=True, kw_only=True):
    """Examples that matured on one partition during a UTC day (not yet complete)."""

    partition: int
    day: int
    examples: list[Example]


class DayClosed(msgspec.Struct, tag=True, kw_only=True):
    """A partition has contributed all there is up to and with UTC day ``day``; its population as of then."""

    partition: int
    day: int
    histograms: Histograms


class Tallies(msgspec.Struct, tag=True, kw_only=True):
    """Outcomes and actions of measured rules on one partition during a UTC day (not yet complete)."""

    partition: int
    day: int
    tallies: list[Tally]


class Looked(msgspec.Struct, tag=True, kw_only=True):
    """Looks at buyers by one partition during a UTC day (not yet complete)."""

    partition: int
    day: int
    looks: list[Look]


class Bought(msgspec.Struct, tag=True, kw_only=True):
    """Orders with products that one partition took during a UTC day (not yet complete)."""

    partition: int
    day: int
    baskets: list[Basket]


class Said(msgspec.Struct, tag=True, kw_only=True):
    """Rated texts that one partition heard during a UTC day (not yet complete), as hashes."""

    partition: int
    day: int
    texts: list[Heard]


class Figures(msgspec.Struct, tag=True, kw_only=True):
    """Sums of customers' own figures at the visits of one partition during a UTC day (not yet complete)."""

    partition: int
    day: int
    sums: Sums


class Likeness(msgspec.Struct, tag=True, kw_only=True):
    """What the customers were like whom one partition looked at (not yet complete)."""

    partition: int
    day: int
    seen: Totals


class Met(msgspec.Struct, tag=True, kw_only=True):
    """Visits to members of the panel by one partition during a UTC day (not yet complete)."""

    partition: int
    day: int
    looks: list[Member]


class Chosen(msgspec.Struct, tag=True, kw_only=True):
    """A person's command: which churn model is to score the customers, or with an empty name, that the contest decides."""

    model: str
    by: str
    at_ms: int
    partition: int = 0
    day: int = -1
    """None: it is in the next version, whichever day that closes."""


Contribution = Chosen | Examples | Likeness | Tallies | Looked | Bought | Said | Figures | Met | DayClosed


class Epoch(msgspec.Struct, kw_only=True):
    """One version of what all partitions share; holds from the start of UTC day ``day``."""

    day: int
    thresholds: Thresholds | None
    model: FrozenModel | None
    trainer: bytes = b""
    """Checkpoint of the trainer, for the next owner. Followers leave it alone."""
    tallies: list[Tally] = []
    """Outcomes of all measured rules since ever, one per key."""
    weights: Mapping[str, Mapping[str, float]] = {}
    """Rule → arm → weight, for rules that leave the choice to a bandit."""
    stopped: Mapping[str, tuple[int, str]] = {}
    """Rules that have been shown to do no good: version, and what was shown. Those whose files say so are held back."""
    heard: Mapping[str, Mapping[int, int]] = {}
    """Rule → version → UTC day of its latest outcome, of versions whose tallies have details."""
    looks: list[Look] = []
    """Looks at buyers in the last period."""
    products: bytes = b""
    """What is known of products, for `stream.products.associations` to open; also the learner's state."""
    orders_admitted: int = ALL
    """See `stream.events.sample.Sample`."""
    usual: Usual = Usual()
    """What is usual in the population, to tell outliers by."""
    means: Means = {}
    """Means of tiers, for figures that are missing."""
    fairness: tuple[int, list[Count]] = (0, [])
    """Looks by region, channel and tier, for `stream.churn.fairness.groups`."""
    clusters: Clusters | None = None
    """Groups of customers who are alike; ``None`` when nobody asks for that scheme."""
    sentiment: bytes = b""
    """What is known of words, for `stream.feedback.sentiment` to open; also the learner's state."""
    value: ValueModel = ValueModel()
    """What customers are valued by."""
    panel_below: int = EVERYBODY
    """See `stream.worth.learner.Learner`."""
    panel: bytes = b""
    """The state of who learns values, for the next owner. Followers leave it alone."""


_encoder = msgspec.msgpack.Encoder()
_contribution: msgspec.msgpack.Decoder[Contribution] = msgspec.msgpack.Decoder(Contribution)
_epoch = msgspec.msgpack.Decoder(Epoch)


def contribution_message(contribution: Contribution) -> Message:
    """A contribution for its topic, keyed by partition so that one partition's stay in order."""
    key = str(contribution.partition).encode()
    return Message(Stream.CONTRIBUTIONS, key, _encoder.encode(contribution), partition=0)


def epoch_message(epoch: Epoch) -> Message:
    """A version for the compacted topic: one key, the latest value stays."""
    return Message(Stream.EPOCHS, b"epoch", _encoder.encode(epoch), partition=0)


def decode_epoch(value: bytes) -> Epoch:
    """The version in bytes; `StateError` when they are none of ours."""
    try:
        return _epoch.decode(value)
    except msgspec.DecodeError as error:
        raise StateError(f"a version on the epochs topic can't be read: {error}") from error


class Coordinator:
    """Collects contributions and folds complete days into versions. Pure; used by the owner in live and by replay."""

    def __init__(self, settings: Settings, partitions: int) -> None:
        # Whoever only follows versions does without River, and the seconds that it takes to import.
        from stream.churn.trainer import Trainer

        self._settings = settings
        self._partitions = partitions
        self._period_days = Looking(settings).period_days
        self._trainer = Trainer(settings)
        self._fairness = Fairness(settings)
        self._clusters = Clusters() if CLUSTER in settings.schemes.split(",") else None
        weights = weights_of(settings.tier_weights), weights_of(settings.value_weights)
        self._scaled_by = *weights, 10 ** EXPONENT_OF.get(settings.currency, 2)
        self._chosen: list[Chosen] = []
        self._closed: dict[int, DayClosed] = {}
        self._waiting: dict[int, list[Example]] = {}
        self._tallied: dict[int, list[Tally]] = {}
        self._tallies: list[Tally] = []
        self._heard: Mapping[str, Mapping[int, int]] = {}
        self._looked: dict[int, list[Look]] = {}
        self._looks: Looks = {}
        self._weights: Mapping[str, Mapping[str, float]] = {}
        self._stopped: Mapping[str, tuple[int, str]] = {}
        self._bought: dict[int, list[Basket]] = {}
        self._figures: dict[int, list[Sums]] = {}
        self._means: Means = {}
        self._said: dict[int, list[Heard]] = {}
        self._seen: dict[int, list[Totals]] = {}
        self._words = Words(settings.sentiment_texts_per_day)
        self._values = Values(settings.panel_customers)
        self._met: dict[int, list[Member]] = {}
        self._products = Learner(settings.product_orders_per_day, settings.product_half_life_days)
        self.folded_day: int | None = None
        """The last UTC day that is in a version."""
        self.told: tuple[Message, ...] = ()
        """What is published of the days that are new in the version that `fold` returned last."""

    def resume(self, epoch: Epoch) -> None:
        """Goes on from a published version."""
        self.folded_day = epoch.day - 1
        self._tallies, self._weights, self._stopped = epoch.tallies, epoch.weights, epoch.stopped
        self._heard, self._looks = epoch.heard, {At(*look.at): look.counts for look in epoch.looks}
        self._products.restore(epoch.products)
        self._words.restore(epoch.sentiment)
        self._means = epoch.means
        self._values.restore(epoch.panel)
        self._fairness.restore(*epoch.fairness)
        if self._clusters is not None and epoch.clusters is not None:
            self._clusters = msgspec.structs.replace(epoch.clusters)
        if epoch.trainer:
            self._trainer.restore(epoch.trainer)

    def contribute(self, contribution: Contribution) -> None:
        """Takes a contribution; what is in a version already is passed over."""
        if isinstance(contribution, Chosen):
            self._chosen.append(contribution)
            return
        if self.folded_day is not None and contribution.day <= self.folded_day:
            return
        if isinstance(contribution, Examples):
            self._waiting.setdefault(contribution.day, []).extend(contribution.examples)
        elif isinstance(contribution, Tallies):
            self._tallied.setdefault(contribution.day, []).extend(contribution.tallies)
        elif isinstance(contribution, Looked):
            self._looked.setdefault(contribution.day, []).extend(contribution.looks)
        elif isinstance(contribution, Bought):
            self._bought.setdefault(contribution.day, []).extend(contribution.baskets)
        elif isinstance(contribution, Figures):
            self._figures.setdefault(contribution.day, []).append(contribution.sums)
        elif isinstance(contribution, Met):
            self._met.setdefault(contribution.day, []).extend(contribution.looks)
        elif isinstance(contribution, Likeness):
            self._seen.setdefault(contribution.day, []).append(contribution.seen)
        elif isinstance(contribution, Said):
            self._said.setdefault(contribution.day, []).extend(contribution.texts)
        else:
            known = self._closed.get(contribution.partition)
            if known is None or contribution.day >= known.day:
                self._closed[contribution.partition] = contribution

    def fold(self) -> Epoch | None:
        """The next version, if all partitions have closed a day that is in none yet."""
        if len(self._closed) < self._partitions:
            return None
        day = min(closed.day for closed in self._closed.values())
        if self.folded_day is not None and day <= self.folded_day:
            return None
        for waiting in sorted(d for d in {*self._waiting, *self._seen} if d <= day):
            if waiting in self._waiting:
                examples = sorted(self._waiting.pop(waiting), key=lambda e: (e.time_ms, e.customer))
                self._trainer.learn(examples)
                self._fairness.take(waiting, examples)
                if self._clusters is not None:
                    self._clusters.learn(examples)
            looked_at = self._seen.pop(waiting, [])
            for looked_day in sorted({d for seen in looked_at for d in seen}):
                self._trainer.see(looked_day, [seen[looked_day] for seen in looked_at if looked_day in seen])
        for chosen in self._chosen:
            self._trainer.choose(chosen.model, chosen.by, chosen.at_ms, day + 1)
        self._chosen.clear()
        self._products.learn({d: self._bought.pop(d) for d in sorted(self._bought) if d <= day})
        self._words.learn({d: self._said.pop(d) for d in sorted(self._said) if d <= day})
        self._values.learn({d: self._met.pop(d) for d in sorted(self._met) if d <= day})
        self._means = faded(self._means, 0 if self.folded_day is None else day - self.folded_day)
        for waiting in sorted(d for d in self._figures if d <= day):
            take(self._means, merged_sums(self._figures.pop(waiting)))
        self.told = tuple(message for d in self._days_until(day) for message in self._tell(d))
        self.told += tuple([model_message(event) for event in self._trainer.events])
        self._trainer.events.clear()
        self.folded_day = day
        population = Histograms.merged(closed.histograms for closed in self._closed.values())
        return Epoch(
            day=day + 1,
            thresholds=thresholds(day + 1, population, *self._scaled_by),
            model=self._trainer.freeze(day + 1),
            tallies=self._tallies,
            weights=self._weights,
            stopped=self._stopped,
            heard=self._heard,
            looks=listed(self._looks),
            products=self._products.table(),
            orders_admitted=self._products.admitted,
            sentiment=self._words.state(),
            fairness=self._fairness.state(),
            clusters=None if self._clusters is None else msgspec.structs.replace(self._clusters),
            usual=usual(population.frequencies),
            means=self._means,
            value=self._values.freeze(day + 1),
            panel_below=self._values.below,
        )

    def _days_until(self, day: int) -> Iterable[int]:
        """The days that are in no version yet. On the event clock one on which nothing is due anywhere isn't closed by itself, which
        depends on how customers are shared out; what is told of each day doesn't."""
        first = day if self.folded_day is None else self.folded_day + 1
        return range(min([first, *self._tallied, *self._looked]), day + 1)

    def _tell(self, day: int) -> list[Message]:
        """Takes the outcomes and looks of a day in, and tells what is published of it."""
        fresh, currency = self._tallied.pop(day, []), self._settings.currency
        versions = versions_of(fresh)
        if fresh:
            self._tallies = merged([*self._tallies, *fresh])
            self._heard = newly_heard(self._heard, versions, day)
            # Only outcomes teach anything: without new ones yesterday's weights and verdicts stay.
            self._weights = weights(self._tallies, day + 1)
            self._stopped = without_effect(validate(self._tallies))
        self._tallies, self._heard = with_old_ones_added_up(self._tallies, self._heard, day)
        for look in self._looked.pop(day, []):
            add_to(self._looks, At(*look.at), look.counts)
        for at in [at for at in self._looks if at.day <= day - self._period_days]:
            del self._looks[at]
        found = kpis(listed(self._looks), day, self._settings) if self._looks else None
        told = [] if found is None else [kpis_message(found)]
        if fresh:
            told += [effects_message(each) for each in effects(self._tallies, versions, day, currency)]
        return told

    def hand_over(self, epoch: Epoch) -> None:
        """Adds what only the next owner needs."""
        epoch.trainer, epoch.panel = self._trainer.checkpoint(), self._values.state()


class EpochOwner:
    """The coordinator behind the contributions topic: the shell's view of it."""

    def __init__(self, settings: Settings, partitions: int) -> None:
        self._coordinator = Coordinator(settings, partitions)
        self._open: list[tuple[int, int]] = []
        self._next_offset: int | None = None

    def resume(self, epoch: bytes) -> None:
        """Goes on from the latest published version."""
        self._coordinator.resume(decode_epoch(epoch))

    def apply(self, records: Sequence[Record]) -> Outcome:
        """Takes contributions; returns the next version when one is complete."""
        out = Outcome()
        for record in records:
            if record.value is None:
                continue
            try:
                contribution = _contribution.decode(record.value)
            except msgspec.DecodeError as error:
                raise StateError(
                    f"{record.topic}/{record.partition}@{record.offset} is no contribution of ours: {error}"
                ) from error
            self._coordinator.contribute(contribution)
            self._open.append((record.offset, contribution.day))
            self._next_offset = record.offset + 1
        epoch = self._coordinator.fold()
        if epoch is not None:
            self._coordinator.hand_over(epoch)
            out.messages += [epoch_message(epoch), *self._coordinator.told]
            folded = self._coordinator.folded_day
            self._open = [(offset, day) for offset, day in self._open if folded is None or day > folded]
        return out

    def safe_offset(self) -> int | None:
        """The contributions offset that may be committed: everything before it is in the published version."""
        return self._open[0][0] if self._open else self._next_offset


def in_days(examples: Sequence[Example], partition: int, day: int, most: int = 2_000) -> Iterator[Message]:
    """Examples as messages of at most ``most`` each: larger ones would pass a broker's usual 1 MiB."""
    for start in range(0, len(examples), most):
        chunk = list(examples[start : start + most])
        yield contribution_message(Examples(partition=partition, day=day, examples=chunk))


def orders_in_days(baskets: Sequence[Basket], partition: int, day: int, most: int = 1_000) -> Iterator[Message]:
    """Orders as messages of at most ``most`` each, for the same reason."""
    for start in range(0, len(baskets), most):
        yield contribution_message(Bought(partition=partition, day=day, baskets=list(baskets[start : start + most])))


def texts_in_days(texts: Sequence[Heard], partition: int, day: int, most: int = 500) -> Iterator[Message]:
    """Rated texts as messages of at most ``most`` each, for the same reason."""
    for start in range(0, len(texts), most):
        yield contribution_message(Said(partition=partition, day=day, texts=list(texts[start : start + most])))


def members_in_days(looks: Sequence[Member], partition: int, day: int, most: int = 2_000) -> Iterator[Message]:
    """Visits to members of the panel as messages of at most ``most`` each, for the same reason."""
    for start in range(0, len(looks), most):
        yield contribution_message(Met(partition=partition, day=day, looks=list(looks[start : start + most])))


def decode_contribution(value: bytes) -> Contribution:
    """The contribution in bytes."""
    return _contribution.decode(value)
