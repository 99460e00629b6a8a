"""Candles."""
