"""Start, supervise and stop the whole system on one machine."""
