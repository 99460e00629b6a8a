"""Marketdata."""
