"""Trading halts of the whole market and of single accounts."""
