"""Candles built from ticks."""
