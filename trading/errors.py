"""Base class of domain errors, and errors that belong to no capability."""

from typing import ClassVar

Fact = int | str | bool | list[str] | list[int] | None


class DomainError(Exception):
    """An expected refusal. `facts` are JSON values, in won and shares."""

    code: ClassVar[str] = ""

    def __init__(self, **facts: Fact) -> None:
        super().__init__(self.code)
        self.facts = facts


class ValidationFailed(DomainError):
    code = "validation-failed"


class UnknownQueryParameter(DomainError):
    """The route reads no such parameter. Facts: `parameters`, and the `known` ones."""

    code = "unknown-query-parameter"


class UnexpectedBody(DomainError):
    """The request has a body, and its route reads none."""

    code = "unexpected-body"


class Unauthorized(DomainError):
    code = "unauthorized"


class Forbidden(DomainError):
    code = "forbidden"


class IdempotencyKeyConflict(DomainError):
    code = "idempotency-key-conflict"


class RequestInProgress(DomainError):
    code = "request-in-progress"


class RateLimited(DomainError):
    """Too many requests. Facts: `limit` per `window_s` seconds, and `retry_after_s`."""

    code = "rate-limited"


class TooManyStreams(DomainError):
    """The server has its maximum of connections. Facts: `limit`."""

    code = "too-many-streams"


class StreamLimitReached(DomainError):
    """The user has the maximum of connections. Facts: `limit`."""

    code = "stream-limit-reached"
