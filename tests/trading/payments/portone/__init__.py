"""Tests of trading/payments/portone."""
