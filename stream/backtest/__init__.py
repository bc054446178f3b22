"""History through two sets of rules, with the code that runs live: what each would have done, and where they part.

Lines are read, decoded and sorted once. Then every process plays its customers through one `Partition` per version (`pair`),
as a replay would, and keeps a few figures of each decision and of each order (`ledger`). At the end decisions of one customer
are laid side by side (`matching`), and counted with what the customer bought afterwards (`tallies`). `result` is what comes
out of it: figures, the decisions that differ, and a report (`report`).
"""

from stream.backtest.job import VERSIONS, Job, Named
from stream.backtest.run import Backtest

__all__ = ["VERSIONS", "Backtest", "Job", "Named"]
