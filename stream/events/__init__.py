"""What happened: the events that shops publish, and the way from bytes to a typed event or a reason why not."""
