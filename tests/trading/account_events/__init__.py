"""Tests of trading/account_events."""
