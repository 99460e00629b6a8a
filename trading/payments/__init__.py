"""Deposits through PortOne: prepare, verify, refund, reverse."""
