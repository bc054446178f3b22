"""CARRIED BY: the Faust shell. Brings records to the pure processor and makes what it returns durable, exactly once."""
