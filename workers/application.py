"""The Celery application of workers and beat."""

from celery import Celery

import celery_config
from trading import logs
from trading.processes import Process
from workers.celery_logs import share_logs
from workers.transport import take_its_place

SETTINGS = logs.begin(Process.WORKER)
share_logs(SETTINGS)

take_its_place()
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
        "workers.metrics",
    ],
)
app.conf.update(celery_config.worker(SETTINGS))
