"""Log malformed HTTP requests in one line.

aiohttp logs each as an error with a traceback and the data sent, which anyone can cause and which
may contain a token.
"""

import logging

import structlog
from aiohttp.http_exceptions import HttpProcessingError

log = structlog.get_logger(__name__)


def log_parse_errors_briefly() -> None:
    """Replace aiohttp's messages about malformed requests by one line each."""
    logging.getLogger("aiohttp.server").addFilter(_is_server_fault)


def _is_server_fault(record: logging.LogRecord) -> bool:
    """Return True for server faults; log client faults here and return False."""
    fault = record.exc_info[1] if record.exc_info else None
    if not isinstance(fault, HttpProcessingError):
        return True
    log.info("request_malformed", reason=type(fault).__name__)
    return False
