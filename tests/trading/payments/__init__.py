"""Tests of trading/payments."""
