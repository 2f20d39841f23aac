"""Programs agents run: whether they may, what they say, how their end is told."""
