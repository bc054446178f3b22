"""Where things are in a stored record, for those who read or extend it without decoding it.

A record is a MessagePack array: version, head, ids, rows, carts and baskets of the messages, memory, orders, traits, consent,
voice. The head is a bin of fixed width and holds all that browsing moves besides the messages, so an event that only adds a
message changes bytes at known places: `stream.processor.browsing`.
"""

from __future__ import annotations

from struct import Struct

TOPICS = 6
"""Input topics that a record has an offset stamp for: the public ones and the one for what lies in the wrong place."""

HEAD = Struct(f"<IIqqqqiQq8s{TOPICS}q")
"""Number of messages, timed_by, next_due_ms, rest_due_ms, created_ms, last_activity_ms, active_day, active_bits, floor_ms,
floor_id, stamps."""
