"""Toss."""
