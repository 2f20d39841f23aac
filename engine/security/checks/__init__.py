"""One module per area: functions of the facts, each yielding what it finds. Pure."""
