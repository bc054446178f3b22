"""Quality of what comes in: customers who are no persons, and figures that are missing (MISSION A5)."""
