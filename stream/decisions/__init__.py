"""From a trigger to a verdict: rules are asked, governance judges, decisions are made and remembered."""
