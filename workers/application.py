"""The Celery application of workers and beat."""

import logging
from typing import Any

from celery import Celery
from celery.signals import setup_logging

import celery_config
from trading import settings
from trading.logs import configure
from trading.queue import Task

# Who says of every message that it was sent, received and done.
_CHATTY = ("celery.beat", "celery.worker.strategy", "celery.app.trace")

SETTINGS = settings.load()

app = Celery(
    "stocking",
    include=[
        "workers.orders",
        "workers.maintenance",
        "workers.matching",
        "workers.histories",
        "workers.payments",
        "workers.candles",
    ],
)
app.conf.update(celery_config.worker(SETTINGS))


@setup_logging.connect
def _configure_logs(**_signal: Any) -> None:
    configure(SETTINGS)
    for name in _CHATTY:
        logging.getLogger(name).addFilter(is_news)


def is_news(record: logging.LogRecord) -> bool:
    """Whether a line of Celery's is worth writing. That the matchers were woken again, some times a second, is not; what they did is."""
    return record.levelno > logging.INFO or str(Task.MATCH_LIMIT_ORDERS) not in record.getMessage()
