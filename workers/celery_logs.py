"""Celery's own log lines: in the common format, without those that duplicate ours."""

import logging
import os
import sys
from typing import Any

import billiard.util
import structlog
from celery import __version__
from celery.app.trace import LOG_FAILURE, LOG_RECEIVED, LOG_REJECTED, LOG_RETRY, LOG_SUCCESS
from celery.signals import celeryd_after_setup, setup_logging, worker_shutdown

from trading.config.settings import Settings

log = structlog.get_logger(__name__)

# Lines that a message was sent, received and done. ``workers.task`` logs the result with ids and
# the traceback of a failure.
_DUPLICATES = frozenset(
    {
        LOG_RECEIVED,
        LOG_SUCCESS,
        LOG_RETRY,
        LOG_FAILURE,
        LOG_REJECTED,
        "Scheduler: Sending due task %s (%s)",
    }
)
_CHATTY = ("celery.beat", "celery.worker.strategy", "celery.app.trace")


def is_wanted(record: logging.LogRecord) -> bool:
    """Return True for Celery lines worth logging; critical ones are Celery's own failures."""
    return record.levelno >= logging.CRITICAL or record.msg not in _DUPLICATES


def use_root_logger(settings: Settings) -> None:
    """Route Celery's log lines to the root logger. Call before Celery's command starts."""
    if settings.log_level != "DEBUG":
        for name in _CHATTY:
            logging.getLogger(name).addFilter(is_wanted)
    # No worker replied, as at every start: Flower and the workers start together.
    logging.getLogger("flower.inspector").addFilter(
        lambda record: record.msg != "Inspect method %s failed"
    )
    # At DEBUG Flower logs its settings, including its cookie secret.
    logging.getLogger("flower").setLevel(logging.INFO)

    # Celery configures no logging if this signal has a receiver.
    @setup_logging.connect(weak=False)
    def _configure_pool_logger(**_signal: Any) -> None:
        # The pool's logger, created now, would otherwise have no handler.
        pool = billiard.util.get_logger()
        pool.propagate = True
        pool.setLevel(logging.WARNING)
        if settings.log_format == "json":
            _discard_stdout()


def _discard_stdout() -> None:
    """Discard stdout: a worker prints its banner and signal messages as plain text."""
    sys.stdout.flush()
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.close(devnull)


@celeryd_after_setup.connect
def _log_start(sender: str, instance: Any, **_signal: Any) -> None:
    queues = sorted(instance.app.amqp.queues.consume_from)
    log.info(
        "worker_starting",
        worker=sender,
        children=instance.concurrency,
        queues=queues,
        celery=__version__,
    )


@worker_shutdown.connect
def _log_stop(**_signal: Any) -> None:
    log.info("worker_stopping")
