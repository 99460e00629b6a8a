"""The Celery application of workers and beat."""

from typing import Any

from celery import Celery
from celery.signals import setup_logging

import celery_config
from trading import settings
from trading.logs import configure

SETTINGS = settings.load()

app = Celery("stocking", include=["workers.orders", "workers.maintenance", "workers.matching"])
app.conf.update(celery_config.worker(SETTINGS))


@setup_logging.connect
def _configure_logs(**_signal: Any) -> None:
    configure(SETTINGS)
