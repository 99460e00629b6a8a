"""Toss's REST API of market data: a client of it, and what stands before it so that neither of us is asked too much."""
