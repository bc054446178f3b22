"""Between the churn room and the processor: scores for decisions, snapshots for labels, alerts. Holds the current model."""

from __future__ import annotations

from stream.actions.alert import Alert, alert_id
from stream.actions.decision import Explanation, ScoreRef
from stream.churn.alerts import decide
from stream.churn.calendar import interest_ms, own_horizon_days
from stream.churn.clusters import Clusters, Groups
from stream.churn.examples import Example
from stream.churn.explain import reasons, sentence
from stream.churn.features import NAMES, vector
from stream.churn.model import UNLEARNT, FrozenModel
from stream.churn.shift import Totals, add
from stream.churn.snapshots import MOST_OPEN, UNSCORED, decode, is_open, mature, take
from stream.config import Settings
from stream.decisions.engine import Case, Score, state_ref
from stream.events.instants import DAY_MS, to_text
from stream.rules.vocabulary import ChurnFacts
from stream.segments.tiers import TURNING_DAYS
from stream.state.memory import Memory
from stream.state.profile import Profile

NO_MODEL = "no model yet: the first version comes with the first full day"
OFF = "the setting churn is off"
NEVER_BOUGHT = "never bought, so there is nobody to lose"


class Scorer:
    """Scores profiles with the model that is in force, and keeps the examples that mature until they are collected."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._is_on = settings.churn != "off"
        self._no_model = NO_MODEL if self._is_on else OFF
        self._horizon_days = settings.churn_horizon_days
        self._cycles = settings.churn_horizon_cycles
        self._model: FrozenModel | None = None
        self._model_day: str | None = None
        self._groups: Groups | None = None
        self.cluster_names: list[str] = []
        self._interest_ms = interest_ms(self._horizon_days)
        self.matured: list[Example] = []
        self.seen: Totals = {}
        """What customers were like who were looked at; not contributed yet."""
        self._reviewed_before = settings.churn_quiet_days > TURNING_DAYS[0] + 1
        self._latest: tuple[Profile | None, tuple[float, ...]] = (None, ())
        self._scored: tuple[tuple[float, ...], float] = ((), 0.0)

    def follow(self, model: FrozenModel | None) -> None:
        """Uses another version from now on; one that was made for other features or another horizon is none."""
        if model is not None and not (self._is_on and model.fits(self._horizon_days, self._cycles)):
            model = None
        self._model = model
        self._scored = ((), 0.0)
        self._model_day = None if model is None else to_text(model.day * DAY_MS)[:10]

    def group(self, clusters: Clusters | None) -> None:
        """Uses other groups of customers from now on."""
        self._groups = None if clusters is None else clusters.groups()
        self.cluster_names = [] if clusters is None else clusters.names()

    def cluster_of(self, profile: Profile) -> tuple[int, str]:
        """The group of customers whom one is like, from 1 on, and what sets it apart; 0 while it isn't known."""
        if self._groups is None or not profile.bought:
            return 0, ""
        number = self._groups.of(self._values(profile))
        return number, self.cluster_names[number - 1] if number else ""

    def features(self, profile: Profile) -> dict[str, float]:
        """The features of a customer who has bought, by name."""
        values = self._values(profile)
        return {name: round(value, 6) for name, value in zip(NAMES, values, strict=True)}

    def score(self, profile: Profile) -> Score:
        """The score of a customer, with the reasons, or with why there is none."""
        model = self._model
        if model is None or not profile.bought:
            why = self._no_model if model is None else NEVER_BOUGHT
            facts = ChurnFacts(probability=0.0, abstained=True, labels=0 if model is None else model.labels)
            return Score(facts=facts, ref=self._ref(None, why))
        values = self._values(profile)
        probability = self._probability(model, values)
        facts = ChurnFacts(probability=probability, abstained=bool(model.abstained), labels=model.labels)
        ref = self._ref(round(probability, 6), model.abstained or None)
        return Score(facts=facts, ref=ref, explain=lambda: reasons(model, values, profile, self._settings.currency))

    def raw_score(self, profile: Profile) -> ScoreRef:
        """The score of whoever has ordered, even if nothing of it is left, and before there is a model: for whoever compares scores.

        Nobody acts upon it: to rules, a customer without an order that counts has nobody to lose.
        """
        values, model = self._values(profile), self._model
        if model is None:
            return self._ref(round(UNLEARNT.probability(values), 6), NO_MODEL)
        return self._ref(round(self._probability(model, values), 6), model.abstained or None)

    def visit(self, profile: Profile, memory: Memory, now_ms: int) -> None:
        """One instant of a customer's calendar: labels whose horizon is over mature, and a new snapshot is taken."""
        if not self._is_on:
            if memory.has_snapshots:
                memory.snapshots = []
            return
        waiting = []
        for encoded in memory.snapshots:
            if is_open(encoded, self._horizon_days, now_ms):
                waiting.append(encoded)
                continue
            who, bought_on = profile.customer_id, profile.placed.days
            place = profile.region, profile.buys_on
            example = mature(decode(encoded), who, bought_on, self._horizon_days, *place, self._cycles)
            if example is not None:
                self.matured.append(example)
        last_ms = profile.last_purchase_ms
        if last_ms is not None and now_ms <= last_ms + self._interest_ms:
            values, model = self._values(profile), self._model
            score = UNSCORED if model is None else self._probability(model, values)
            waiting.append(take(profile, model, self._horizon_days, (values, score)).encode())
            if not memory.suspect:
                add(self.seen, profile.day, values)
        memory.snapshots = waiting[-MOST_OPEN:]

    def is_settled(self, recency_days: int, armed: bool) -> bool:
        """Whether `alert` need not be asked after a purchase of so many days ago: it is fresh, so there is no alert, and whoever
        is armed already stays so. Before there can be an alert, a review scores the customer anew. While the model abstains,
        nobody is alerted or becomes armed."""
        fresh = self._reviewed_before and recency_days < self._settings.churn_quiet_days
        return self._model is None or bool(self._model.abstained) or (armed and fresh)

    def alert(self, case: Case, memory: Memory, cycle_days: float) -> Alert | None:
        """Judges a new score and remembers it; the alert, if it is one.

        ``cycle_days`` is the population's median gap between purchases, 0.0 when unknown.
        """
        profile = case.profile
        previous = memory.score
        if not self.crosses(profile, memory, cycle_days):
            return None
        probability = memory.score
        score = case.score()
        why = score.explain()
        days = own_horizon_days(profile.cycle_days, self._cycles, self._horizon_days)
        return Alert(
            alert_id=alert_id("churn", profile.customer_id, f"{profile.last_order_name}@{profile.day}"),
            kind="churn",
            customer_id=profile.customer_id,
            decided_at=to_text(case.now_ms),
            probability=round(probability, 6),
            previous_probability=round(previous, 6) if previous >= 0.0 else None,
            threshold=self._settings.churn_threshold,
            horizon_days=days,
            state=state_ref(profile, self._settings.currency),
            score=score.ref,
            explanation=Explanation(text=sentence(probability, days, why), contributions=why),
        )

    def crosses(self, profile: Profile, memory: Memory, cycle_days: float) -> bool:
        """As `alert`, for whoever only wants to know whether it is one."""
        model = self._model
        if model is None or not profile.bought:
            return False
        probability = self._probability(model, self._values(profile))
        decision = decide(
            profile,
            probability,
            model,
            armed=memory.alert_armed,
            population_cycle_days=cycle_days,
            settings=self._settings,
        )
        memory.alert_armed = decision.armed
        memory.score = probability
        return decision.alert

    def _values(self, profile: Profile) -> tuple[float, ...]:
        """The features. A visit asks for those of one profile up to three times: snapshot, alert, decision."""
        known, values = self._latest
        if known is not profile:
            values = vector(profile, self._horizon_days)
            self._latest = (profile, values)
        return values

    def _probability(self, model: FrozenModel, values: tuple[float, ...]) -> float:
        """The model's, kept for the same reason as the features; the snapshot's are often those of the moments after, too."""
        known, probability = self._scored
        if known != values:
            probability = model.probability(values)
            self._scored = (values, probability)
        return probability

    def _ref(self, probability: float | None, abstained: str | None) -> ScoreRef:
        labels = 0 if self._model is None else self._model.labels
        return ScoreRef(churn_probability=probability, model_day=self._model_day, labels=labels, abstained=abstained)
