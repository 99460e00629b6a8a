"""Why Toss's REST API gave nothing that could be told to a user.

    TossError
    ├── TossUnreachable   upstream-unavailable   no connection, or none that lasted
    ├── TossTooSlow       upstream-timeout       no whole answer in the time that a user may be asked to wait
    ├── TossFailed        upstream-failed        an answer, but of trouble, or none that its API gives
    ├── TossPaused        upstream-paused        it is not being asked now: it refused us, or failed several times in a row
    └── TossHasNone       no-market-data         it knows nothing of what was asked for

None repeats what an answer held, so any may be logged as it is.
"""

from typing import ClassVar


class TossError(Exception):
    """``code`` is the problem that a user is told."""

    code: ClassVar[str]


class TossUnreachable(TossError):
    code = "upstream-unavailable"


class TossTooSlow(TossError):
    code = "upstream-timeout"


class TossFailed(TossError):
    code = "upstream-failed"


class TossPaused(TossError):
    """``retry_after_s`` is after how long it may be asked again."""

    code = "upstream-paused"

    def __init__(self, reason: str, retry_after_s: int) -> None:
        super().__init__(reason, retry_after_s)
        self.retry_after_s = retry_after_s


class TossHasNone(TossError):
    code = "no-market-data"
