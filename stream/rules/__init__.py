"""What we decide: the condition language, the rule files, when rules are due, and what holds an action back."""
