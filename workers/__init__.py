"""The workers: Celery tasks that parse ids, make one call into the trading core, and report what it did. ``celery -A workers`` finds ``app``."""

from workers.application import app

__all__ = ["app"]
