"""Faults of the PortOne stand-in. They are set together; omitted ones are switched off.

`Faults()` has no fault. Impossible values raise ValidationError.
"""

import re
from copy import deepcopy
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, StringConstraints, field_validator

from sandbox.portone.payments import CANCELLATIONS_MAX

DELAY_MS_MAX = 10 * 60_000
TIMES_MAX = 10_000
RULES_MAX = 100
COPIES_MAX = 100
TEXT_MAX = 64 * 1024

Pointer = Annotated[str, StringConstraints(pattern=r"^(/([^/~]|~[01])*)+$", max_length=500)]


class Tampering(StrEnum):
    """Manipulation of a webhook's signature or signed content."""

    WRONG_SECRET = "wrong-secret"  # noqa: S105
    ALTERED_BODY = "altered-body"
    MISSING_ID = "missing-id"
    MISSING_TIMESTAMP = "missing-timestamp"
    MISSING_SIGNATURE = "missing-signature"
    TITLE_CASE = "title-case"
    TIMESTAMP_EARLY = "timestamp-early"
    TIMESTAMP_LATE = "timestamp-late"
    TIMESTAMP_FRACTION = "timestamp-fraction"
    TIMESTAMP_TEXT = "timestamp-text"
    OTHER_SCHEME = "other-scheme"
    GARBAGE_FIRST = "garbage-first"
    NOT_ASCII = "not-ascii"


class WebhookDelivery(StrEnum):
    """Delivery of a webhook: AUTO sends it at once, HOLD waits for a flush, NONE never sends it."""

    AUTO = "auto"
    HOLD = "hold"
    NONE = "none"


class _Knobs(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Canned(_Knobs):
    """Answer that replaces PortOne's own."""

    status: int = Field(ge=200, le=599)
    body: str = Field(default="", max_length=TEXT_MAX)
    headers: dict[str, str] = Field(default_factory=dict, max_length=20)


class Rule(_Knobs):
    """Which API requests fail, and how. `path` is a regular expression for the whole path.

    Of the matching requests, the `nth` and later ones fail, `times` of them (None: all), each with
    `probability`. Actions can be combined: `delay_ms` or `hang` before processing, while the
    idempotency key counts as in progress; `drop` resets the connection before or after the effect;
    `answer` replaces the answer; `stale` returns the payment before its last change; `patch` sets
    and `remove` deletes members by JSON pointer; `truncate` sends half of the body.
    """

    method: Literal["GET", "POST"] | None = None
    path: str = Field(default=".*", max_length=500)
    nth: int = Field(default=1, ge=1, le=TIMES_MAX)
    times: int | None = Field(default=1, ge=1, le=TIMES_MAX)
    probability: float = Field(default=1.0, gt=0, le=1)
    delay_ms: int = Field(default=0, ge=0, le=DELAY_MS_MAX)
    hang: bool = False
    drop: Literal["before", "after"] | None = None
    answer: Canned | None = None
    stale: bool = False
    patch: dict[Pointer, Any] = Field(default_factory=dict)
    remove: list[Pointer] = Field(default_factory=list)
    truncate: bool = False

    _matched: int = PrivateAttr(default=0)
    _done: int = PrivateAttr(default=0)

    @field_validator("path")
    @classmethod
    def _is_an_expression(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as fault:
            raise ValueError(f"is no regular expression: {fault}") from None
        return value

    def applies(self, method: str, path: str, chance: float) -> bool:
        """Return True if this request fails. Counts the request. `chance` is a random number in
        0..1.
        """
        if self.method not in (None, method) or not re.fullmatch(self.path, path):
            return False
        self._matched += 1
        if self._matched < self.nth or (self.times is not None and self._done >= self.times):
            return False
        if chance >= self.probability:
            return False
        self._done += 1
        return True


class WebhookFaults(_Knobs):
    """Faults of webhooks.

    `mailing` sets their delivery. Of each, the first `lost` attempts get lost; `copies` of the next
    are sent one after the other, or `at_once`. `tampering` manipulates the signature.
    """

    mailing: WebhookDelivery = WebhookDelivery.AUTO
    lost: int = Field(default=0, ge=0, le=6)
    copies: int = Field(default=1, ge=1, le=COPIES_MAX)
    at_once: bool = False
    tampering: Tampering | None = None


class PortoneFaults(_Knobs):
    """All faults. The first rule of `rest` that applies is used.

    `browser_refusals` sets how the SDK reports a refusal before the window opens, which PortOne's
    documents leave open: by rejecting its promise, or by resolving it with a code.
    """

    rest: list[Rule] = Field(default_factory=list, max_length=RULES_MAX)
    webhooks: WebhookFaults = Field(default_factory=WebhookFaults)
    browser_refusals: Literal["reject", "resolve"] = "reject"
    cancellations_max: int = Field(default=CANCELLATIONS_MAX, ge=0, le=CANCELLATIONS_MAX)

    def rule_for(self, method: str, path: str, chance: float) -> Rule | None:
        """Return the first rule that applies to a request."""
        return next((rule for rule in self.rest if rule.applies(method, path, chance)), None)


def patched(document: Any, rule: Rule) -> Any:
    """Return a JSON document with the rule's changes. Unknown pointers change nothing."""
    if rule.patch or rule.remove:
        document = deepcopy(document)
    for pointer, value in rule.patch.items():
        _at(document, pointer, lambda parent, key, value=value: parent.__setitem__(key, value))
    for pointer in rule.remove:
        _at(document, pointer, lambda parent, key: parent.__delitem__(key))
    return document


def _at(document: Any, pointer: str, change: Any) -> None:
    *path, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))
    for part in path:
        document = document[_key(document, part)] if _has(document, part) else None
    if isinstance(document, dict) or _has(document, last):
        try:
            change(document, _key(document, last))
        except KeyError:
            return


def _has(document: Any, part: str) -> bool:
    if isinstance(document, list):
        return part.isdecimal() and int(part) < len(document)
    return isinstance(document, dict) and part in document


def _key(document: Any, part: str) -> Any:
    return int(part) if isinstance(document, list) else part
