"""Tests of trading halts."""
