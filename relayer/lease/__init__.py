"""Leader election: a Redis lease with fencing and a watchdog."""
