"""Does a rule do any good? Groups by hashing, outcomes counted, effects with intervals that may be looked at every day (F1–F4)."""
