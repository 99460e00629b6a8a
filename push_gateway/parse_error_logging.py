"""Requests that are no HTTP: aiohttp would tell of each as an error, with a traceback and what was sent, which anybody may cause and which may hold a token."""

import logging

import structlog
from aiohttp.http_exceptions import HttpProcessingError

log = structlog.get_logger(__name__)


def tell_malformed_shortly() -> None:
    """Have one line of ours for each instead."""
    logging.getLogger("aiohttp.server").addFilter(_is_of_ours)


def _is_of_ours(record: logging.LogRecord) -> bool:
    """Whether a line of the server's is about a fault of ours; where it is the client's it is told here."""
    fault = record.exc_info[1] if record.exc_info else None
    if not isinstance(fault, HttpProcessingError):
        return True
    log.info("request_malformed", reason=type(fault).__name__)
    return False
