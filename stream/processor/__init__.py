"""The pure join of all rooms: batches of records in, changed states and messages out. No I/O, no clock, no randomness."""

from stream.processor.epochs import EpochOwner
from stream.processor.partition import Partition

__all__ = ["EpochOwner", "Partition"]
