"""Indices."""
