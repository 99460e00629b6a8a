"""Errors of calls to PortOne.

    PortoneError
    ├── PortoneApiError           PortOne refused with a status and a type
    ├── PortoneTransportError     no complete answer
    │   └── PortoneNotConfigured  this process has no secret for PortOne; nothing was sent
    └── PortoneProtocolError      the answer does not conform to PortOne's API

Their messages repeat nothing of request or answer, so they may be logged.
"""

from collections.abc import Collection

# Refusals after which the same request may still be, or already was, carried out.
UNKNOWN_OUTCOME_TYPES: Collection[str] = frozenset({"IDEMPOTENCY_OUTSTANDING_REQUEST"})
UNKNOWN_OUTCOME_STATUSES: Collection[int] = frozenset({408, 425, 429})


class PortoneError(Exception):
    """A call that did not return its result."""

    @property
    def outcome_is_unknown(self) -> bool:
        """Whether the request may have been carried out.

        If so, repeat it with the same idempotency key or check the payment; never treat it as
        failed.
        """
        return True


class PortoneApiError(PortoneError):
    """A refusal; ``type`` is PortOne's error code, an open enum.

    ``retry_after_s`` is the wait that PortOne asks for.
    """

    def __init__(self, status: int, type: str, retry_after_s: int | None = None) -> None:  # noqa: A002 - PortOne's own name for it
        super().__init__(status, type, retry_after_s)
        self.status = status
        self.type = type
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"PortOne answered {self.status} {self.type}"

    @property
    def outcome_is_unknown(self) -> bool:
        """Whether the request may have been carried out; any 5xx counts as unknown.

        PG_PROVIDER is a 5xx for both refusals and outages of the payment gateway.
        """
        return (
            self.status >= 500
            or self.status in UNKNOWN_OUTCOME_STATUSES
            or self.type in UNKNOWN_OUTCOME_TYPES
        )


class PortoneTransportError(PortoneError):
    """No complete answer; the message says what happened to the connection."""


class PortoneNotConfigured(PortoneTransportError):
    """This process has no secret; a process that has one asks later, so nothing has failed."""


class PortoneProtocolError(PortoneError):
    """An answer outside PortOne's API: a proxy's page, a redirect, a truncated or oversized body.

    ``status`` is the answer's HTTP status, from PortOne or a proxy.
    """

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason, status)
        self.reason = reason
        self.status = status

    def __str__(self) -> str:
        return f"{self.reason} (status {self.status})"
