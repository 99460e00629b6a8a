"""Tests of watchlists and price alerts."""
