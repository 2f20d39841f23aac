"""`engine security`: what of this installation others can read, write or reach."""
