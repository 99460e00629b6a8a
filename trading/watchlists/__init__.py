"""Watchlists and price alerts."""
