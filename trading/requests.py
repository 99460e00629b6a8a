"""Checks of requests that the API and the push gateway share."""

import re
from collections.abc import Iterable, Sequence

from trading.errors import UnknownQueryParameter

HEADER = "X-Request-ID"

_PROPER = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
# How many unknown parameters a refusal names, and how many characters of each.
_NAMED_MAX, _NAME_LENGTH_MAX = 10, 64


def is_proper(given: str) -> bool:
    """Return True if the request id may be used unchanged in logs, headers and rows."""
    return _PROPER.fullmatch(given) is not None


def refuse_unknown_parameters(given: Iterable[str], *, known: Sequence[str]) -> None:
    """Raise UnknownQueryParameter if a query has parameters that its route does not read."""
    unknown = sorted(set(given).difference(known))
    if unknown:
        raise UnknownQueryParameter(
            parameters=[name[:_NAME_LENGTH_MAX] for name in unknown[:_NAMED_MAX]],
            known=list(known),
        )
