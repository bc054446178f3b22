"""What leaves: decisions (published or suppressed), alerts, tier changes, dead letters, each with its codec."""
