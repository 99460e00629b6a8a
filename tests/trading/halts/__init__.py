"""Halts."""
