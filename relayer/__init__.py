"""The relayer: the only connection to the market-data feed. It writes ticks to Redis."""
