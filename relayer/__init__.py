"""The relayer: the one connection to Toss's live feed. It writes what it hears to Redis and can place no order anywhere."""
