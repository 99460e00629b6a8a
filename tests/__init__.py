"""Tests, in the same tree as the code. ``tests.support.servers`` starts the servers they use."""
