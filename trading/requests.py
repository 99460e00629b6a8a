"""Ids of requests: what a client may call his own by."""

import re

HEADER = "X-Request-ID"

_PROPER = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)


def is_proper(given: str) -> bool:
    """Whether a client's name for his request may stand in a log, a header and a row as it is."""
    return _PROPER.fullmatch(given) is not None
