"""Live market data in Redis: ticks, quotes, topics, relayer client and health."""
