"""Celery tasks: parse ids, make one call into ``trading`` and report the result.

``celery -A workers`` finds ``app``.
"""

from workers.application import app

__all__ = ["app"]
