"""History through the same processor as live, without Kafka: files in, files out, the same bytes for the same events.

Each customer's events are sorted canonically (time, messageId) and exact repeats of a line are dropped, so neither the order
nor the duplication of the input lines can show in the output; nor can the number of processes. What does depend on them goes to
``run.json``.

Every process reads parts of the files and shares the lines out by customer (`reading`), sorted by day and customer on disk
(`spill`). Then it plays its own customers through a `Partition` of its own (`player`), one after the other within a day, all
processes in step by the day (`lockstep`), and its rows are merged with the others' (`run`). With one process the same happens without pipes (`processes`, `crew`).
"""

from stream.replay.crew import ReplayProcessEnded
from stream.replay.processes import Progress
from stream.replay.run import Replay, sensible_processes

__all__ = ["Progress", "Replay", "ReplayProcessEnded", "sensible_processes"]
