"""Portone."""
