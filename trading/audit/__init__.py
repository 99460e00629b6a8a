"""Invariants of the data and the task that checks them."""
