"""A seeded shop whose customers' churn dates are known: history in seconds, then a live stream at any rate.

The same arguments give the same bytes, on every machine. There is no wall clock inside: the caller says how far to go.

Two clocks make both uses possible. *Life* time orders what customers do (visits, orders at their own cycle, the date on
which each leaves for good). *Published* time is what the events carry. In history they are the same. After `Shop.go_live`
lives go on in the same order, but visits start as fast as the wanted rate asks for.
"""

from stream.simulate.broken import broken
from stream.simulate.people import Shopper
from stream.simulate.shop import Shop

__all__ = ["Shop", "Shopper", "broken"]
