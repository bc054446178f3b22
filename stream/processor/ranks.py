"""Between the schemes by population share and the census: in which cell a customer is counted, and in which class that puts them."""

from __future__ import annotations

from stream.config import Settings, numbers
from stream.events.hashing import hash64
from stream.segments.cells import NOBODY, attitude_of, cell_of, taken_apart
from stream.segments.scales import Scales, Weights
from stream.segments.schemes import LOYALTY, RANKED, SHARE, VALUE, bits_of, class_in, with_share
from stream.segments.shares import SHARE_TIERS, SILENT_DAYS, lowered, position_of, tier_at, unranked
from stream.state.profile import Standing


class Ranks:
    """Where everybody stands, by the scales of the day."""

    def __init__(self, settings: Settings) -> None:
        schemes = {word for word in settings.schemes.split(",") if word}
        self.is_on = bool(schemes & {SHARE, VALUE, LOYALTY})
        """Somebody has to know where customers stand."""
        self.kept = bits_of(schemes)
        """Bits of the classes that are computed at all: those of a scheme that was switched off are nobody's."""
        self._by_share = SHARE in schemes
        self.scales: Scales | None = None
        self._margin = settings.tier_margin
        self._steps: dict[int, tuple[float, float]] = {}

    def follow(self, scales: Scales | None) -> None:
        """Ranks by other scales from now on."""
        self.scales = scales
        self._steps = {}

    def cell(self, last_day: int, frequency: int, monetary_minor: int, last_nps: float) -> int:
        """Where a buyer is counted."""
        return cell_of(last_day, frequency, monetary_minor, attitude_of(last_nps)) if frequency > 0 else NOBODY

    def classes(self, cell: int, classes: int, customer_hash: int, silent_days: int, *, bought: bool) -> int:
        """What a customer is now who was ``classes``; the same as before while nobody is ranked."""
        scales = self.scales
        if scales is None or not self._by_share:
            return classes
        if cell == NOBODY:
            ranked = unranked(bought)
        else:
            step = self._steps.get(cell) or self._step(scales, cell)
            ranked = tier_at(position_of(*step, customer_hash), classes & RANKED, self._margin)
        return with_share(classes, ranked, ranked if silent_days < SILENT_DAYS else lowered(ranked, silent_days))

    def hash_of(self, customer_id: str) -> int:
        """What breaks ties: of a customer, for good."""
        return hash64(customer_id)

    def position(self, cell: int, customer_hash: int) -> float | None:
        """Share of the living buyers that stand below; ``None`` for who isn't ranked."""
        scales = self.scales
        if scales is None or cell == NOBODY:
            return None
        return position_of(*(self._steps.get(cell) or self._step(scales, cell)), customer_hash)

    def why(self, customer_id: str, now: Standing, figures: str) -> str:
        """What puts a customer in a class, as a person would say it."""
        position = self.position(now.cell, hash64(customer_id))
        if self.scales is None or position is None:
            return figures
        rank = f"ahead of {position:.1%} of {self.scales.buyers} buyers by RFM and NPS: {figures}"
        ranked = SHARE_TIERS[now.classes & RANKED]
        if ranked != class_in(SHARE, now.classes):
            return f"no activity for {SILENT_DAYS} days or more, so below {ranked}; {rank}"
        return rank

    def _step(self, scales: Scales, cell: int) -> tuple[float, float]:
        step = self._steps[cell] = scales.loyalty.step(scales.composite(taken_apart(cell)))
        return step


def weights_of(text: str) -> Weights:
    """The weights of a setting, in thousandths."""
    found = numbers(text)
    r, f, m, nps = (round(1_000 * found.get(name, 0.0)) for name in ("r", "f", "m", "nps"))
    return r, f, m, nps
