"""Who the customers are: tiers by fixed thresholds, RFM scores by population quantiles, the marketers' segments."""
