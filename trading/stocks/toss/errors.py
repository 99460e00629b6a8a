"""Errors of Toss's REST API.

    TossError
    ├── TossUnreachable   upstream-unavailable   no connection, or a broken one
    ├── TossTimeout       upstream-timeout       no complete answer in time
    ├── TossFailed        upstream-failed        an error status, or a malformed answer
    ├── TossPaused        upstream-paused        requests are suspended after a refusal or failures
    └── TossNoData        no-market-data         nothing known about the subject

Their texts do not repeat answers, so they are safe to log.
"""

from typing import ClassVar


class TossError(Exception):
    """Base class. ``code`` is the problem code sent to the client."""

    code: ClassVar[str]


class TossUnreachable(TossError):
    code = "upstream-unavailable"


class TossTimeout(TossError):
    code = "upstream-timeout"


class TossFailed(TossError):
    code = "upstream-failed"


class TossPaused(TossError):
    """Requests are suspended for ``retry_after_s``."""

    code = "upstream-paused"

    def __init__(self, reason: str, retry_after_s: int) -> None:
        super().__init__(reason, retry_after_s)
        self.retry_after_s = retry_after_s


class TossNoData(TossError):
    code = "no-market-data"
