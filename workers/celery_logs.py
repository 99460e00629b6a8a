"""Celery's own lines: in the shape of all others, and without those that ours make needless."""

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

# That a message was sent, came in and was done, once for each. Ours say what was done, with the ids; a failure's traceback is in ours too.
_TOLD_BY_OURS = frozenset(
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


def is_news(record: logging.LogRecord) -> bool:
    """Whether a line of Celery's is worth writing. What it calls critical is a fault of its own, which ours don't tell."""
    return record.levelno >= logging.CRITICAL or record.msg not in _TOLD_BY_OURS


def share_logs(settings: Settings) -> None:
    """Leave Celery's lines to the root logger, which has been set up. To be called before Celery's command begins its work."""
    if settings.log_level != "DEBUG":
        for name in _CHATTY:
            logging.getLogger(name).addFilter(is_news)
    # At DEBUG it writes its own settings, and the secret of its cookies with them.
    logging.getLogger("flower").setLevel(logging.INFO)

    # Celery sets up no logs of its own where somebody listens to this signal.
    @setup_logging.connect(weak=False)
    def _leave_as_it_is(**_signal: Any) -> None:
        # The pool's own logger, which is made now, would write nowhere.
        pool = billiard.util.get_logger()
        pool.propagate = True
        pool.setLevel(logging.WARNING)
        if settings.log_format == "json":
            _write_nothing_else()


def _write_nothing_else() -> None:
    """A worker prints its banner, and its words on a signal, by itself and in a shape for people."""
    sys.stdout.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


@celeryd_after_setup.connect
def _tell_what_starts(sender: str, instance: Any, **_signal: Any) -> None:
    queues = sorted(instance.app.amqp.queues.consume_from)
    log.info(
        "worker_starting",
        worker=sender,
        children=instance.concurrency,
        queues=queues,
        celery=__version__,
    )


@worker_shutdown.connect
def _tell_what_stops(**_signal: Any) -> None:
    log.info("worker_stopping")
