"""May this action go out now? Every check leaves a verdict with what it looked at, so that anybody can judge again (E8)."""
