"""Validate incoming trades and write them to Redis."""
