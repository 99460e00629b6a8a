"""What can go wrong with a call to PortOne.

    PortoneError
    ├── PortoneApiError        PortOne refused, and said why: a status and a type
    ├── PortoneTransportError  no whole answer came
    │   └── PortoneNotSetUp    this process was given no secret for PortOne, and asked nothing
    └── PortoneProtocolError   an answer came, but none that PortOne's API gives

None repeats what an answer held or what the request carried, so any may be logged as it is.
"""

from collections.abc import Collection

# Refusals by which the same request may still be carried out, or already was.
UNKNOWN_OUTCOME_TYPES: Collection[str] = frozenset({"IDEMPOTENCY_OUTSTANDING_REQUEST"})
UNKNOWN_OUTCOME_STATUSES: Collection[int] = frozenset({408, 425, 429})


class PortoneError(Exception):
    """A call without the result that was asked for."""

    @property
    def outcome_is_unknown(self) -> bool:
        """Whether the request may have been carried out all the same. Then it is asked again with the same idempotency key, or looked
        up, but never taken as failed."""
        return True


class PortoneApiError(PortoneError):
    """``type`` is PortOne's word for the refusal, an open enum such as PAYMENT_NOT_PAID; ``retry_after_s`` is the wait that it asks for."""

    def __init__(self, status: int, type: str, retry_after_s: int | None = None) -> None:  # noqa: A002 - PortOne's own name for it
        super().__init__(status, type, retry_after_s)
        self.status = status
        self.type = type
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return f"PortOne answered {self.status} {self.type}"

    @property
    def outcome_is_unknown(self) -> bool:
        """A 5xx counts as unknown too: PG_PROVIDER is one, and means that the payment gateway refused or that it was in trouble."""
        return (
            self.status >= 500
            or self.status in UNKNOWN_OUTCOME_STATUSES
            or self.type in UNKNOWN_OUTCOME_TYPES
        )


class PortoneTransportError(PortoneError):
    """The message names what happened to the connection."""


class PortoneNotConfigured(PortoneTransportError):
    """Whoever has the secret asks later, so nothing counts as failed by this."""


class PortoneProtocolError(PortoneError):
    """A page of a proxy, a redirect, a cut or oversized body. ``status`` is the answer's, for PortOne or whoever spoke for it."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason, status)
        self.reason = reason
        self.status = status

    def __str__(self) -> str:
        return f"{self.reason} (status {self.status})"
