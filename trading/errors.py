"""The base of all refusals, and those that belong to no capability."""

from typing import ClassVar

Fact = int | str | bool | list[str] | list[int] | None


class DomainError(Exception):
    """An expected refusal. ``facts`` (JSON values) say what was needed and what was there, in won and shares."""

    code: ClassVar[str] = ""

    def __init__(self, **facts: Fact) -> None:
        super().__init__(self.code)
        self.facts = facts


class ValidationFailed(DomainError):
    code = "validation-failed"


class Unauthorized(DomainError):
    code = "unauthorized"


class Forbidden(DomainError):
    code = "forbidden"


class IdempotencyKeyConflict(DomainError):
    code = "idempotency-key-conflict"


class RequestInProgress(DomainError):
    code = "request-in-progress"


class RateLimited(DomainError):
    """More was asked for than is allowed in a span. Facts: ``limit`` requests per ``window_s`` seconds; ``retry_after_s``, when to try again."""

    code = "rate-limited"


class TooManyStreams(DomainError):
    """The server holds as many connections as it may. Facts: ``limit``, how many that is."""

    code = "too-many-streams"


class StreamLimitReached(DomainError):
    """The user holds as many connections as one may. Facts: ``limit``, how many that is."""

    code = "stream-limit-reached"
