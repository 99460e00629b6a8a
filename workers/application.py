"""The Celery application of workers and beat."""

from celery import Celery

import celery_config
from trading.config.processes import Process
from trading.observability import logs
from workers.celery_logs import use_root_logger
from workers.transport import install_transport

SETTINGS = logs.setup_logging(Process.WORKER)
use_root_logger(SETTINGS)

install_transport()
app = Celery(
    "stocking",
    include=[
        "workers.orders",
        "workers.maintenance",
        "workers.matching",
        "workers.snapshots",
        "workers.payments",
        "workers.candles",
        "workers.alerts",
        "workers.audit",
        "workers.liveness",
        "workers.metrics",
    ],
)
app.conf.update(celery_config.worker(SETTINGS))
