"""Shared by all endpoints: authentication, bodies, problems, limits, idempotency."""
