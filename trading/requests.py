"""Validate request ids given by clients."""

import re

HEADER = "X-Request-ID"

_PROPER = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)


def is_proper(given: str) -> bool:
    """Return True if the id may be used unchanged in logs, headers and rows."""
    return _PROPER.fullmatch(given) is not None
