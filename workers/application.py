"""The Celery application of workers and beat."""

import logging
from typing import Any

from celery import Celery
from celery.signals import setup_logging

import celery_config
from trading import settings
from trading.logs import configure
from trading.processes import Process
from trading.queue import Task

_OFTEN = (Task.MATCH_LIMIT_ORDERS, Task.CHECK_PRICE_ALERTS)
# Who says of every message that it was sent, received and done.
_CHATTY = ("celery.beat", "celery.worker.strategy", "celery.app.trace")

SETTINGS = settings.load(process=Process.WORKER)

app = Celery(
    "stocking",
    include=[
        "workers.orders",
        "workers.maintenance",
        "workers.matching",
        "workers.histories",
        "workers.payments",
        "workers.candles",
        "workers.alerts",
        "workers.audit",
        "workers.sign_of_life",
    ],
)
app.conf.update(celery_config.worker(SETTINGS))


@setup_logging.connect
def _configure_logs(**_signal: Any) -> None:
    configure(SETTINGS)
    for name in _CHATTY:
        logging.getLogger(name).addFilter(is_news)


def is_news(record: logging.LogRecord) -> bool:
    """Whether a line of Celery's is worth writing. That what looks at the ticks was woken again, some times a second, is not; what it did is."""
    return record.levelno > logging.INFO or not any(task in record.getMessage() for task in _OFTEN)
