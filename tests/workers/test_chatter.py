"""What Celery says of its messages, and what of it is kept."""

import logging

import pytest

from workers.application import is_news


@pytest.mark.parametrize(
    ("level", "message", "kept"),
    [
        (logging.INFO, "Task match_limit_orders[1] received", False),
        (logging.ERROR, "Task match_limit_orders[1] raised unexpected", True),
        (logging.INFO, "Task check_price_alerts[1] succeeded", False),
        (logging.INFO, "Task execute_orders[1] received", True),
    ],
)
def test_only_the_chatter_about_looks_at_the_ticks_is_dropped(level: int, message: str, kept: bool) -> None:
    """Twice a second is too often for what always goes well; a failure is always told."""
    record = logging.LogRecord("celery.app.trace", level, "", 0, message, None, None)
    assert is_news(record) is kept
