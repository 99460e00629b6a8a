"""Invariants of the books and the task that checks them."""
