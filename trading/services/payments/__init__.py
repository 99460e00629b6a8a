"""Payments by PortOne: prepared, looked at, booked once, and refunded.

PortOne is never asked while a transaction is open. What it answers is taken in under the payment's lock, which comes before those of orders,
balances and holdings.
"""
