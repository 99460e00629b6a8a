"""What the stand-in for PortOne does wrong on purpose, as knobs that are all set at once: those not named are turned back.

``Faults()`` does nothing wrong; ValidationError for an impossible value.
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
    """What is wrong with the signature of a webhook or with what is signed, as the matrix of verifiers has it."""

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
    """What becomes of a webhook: AUTO sends it at once, HOLD keeps it until it is flushed, NONE never sends it."""

    AUTO = "auto"
    HOLD = "hold"
    NONE = "none"


class _Knobs(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Canned(_Knobs):
    """An answer given in place of PortOne's own."""

    status: int = Field(ge=200, le=599)
    body: str = Field(default="", max_length=TEXT_MAX)
    headers: dict[str, str] = Field(default_factory=dict, max_length=20)


class Rule(_Knobs):
    """Which requests of the API go wrong, and how. ``path`` is a regular expression that the whole path must match.

    Of the requests that match, the ``nth`` and those after it go wrong, ``times`` of them (None: all), each with ``probability``. Actions
    combine: ``delay_ms`` or ``hang`` before anything is done, while the idempotency key counts as running; ``drop`` resets the connection
    before or after the effect; ``answer`` replaces PortOne's; ``stale`` shows a payment as it was before its last change; ``patch`` sets
    and ``remove`` takes out members by JSON pointer; ``truncate`` sends half the body.
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
        """Whether this request goes wrong; it counts. ``chance`` is drawn from 0 to 1."""
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
    """``mailing`` is what becomes of webhooks; of each, the first ``lost`` attempts go astray; ``copies`` of the first attempt that does not
    are sent one after the other, or ``at_once``; ``tampering`` spoils them."""

    mailing: WebhookDelivery = WebhookDelivery.AUTO
    lost: int = Field(default=0, ge=0, le=6)
    copies: int = Field(default=1, ge=1, le=COPIES_MAX)
    at_once: bool = False
    tampering: Tampering | None = None


class Faults(_Knobs):
    """All knobs. The first rule of ``rest`` that applies is followed. ``browser_refusals`` says how the browser SDK tells what was refused
    before a window opened, as PortOne's documents do not: by rejecting its promise, or by resolving it with a code."""

    rest: list[Rule] = Field(default_factory=list, max_length=RULES_MAX)
    webhooks: WebhookFaults = Field(default_factory=WebhookFaults)
    browser_refusals: Literal["reject", "resolve"] = "reject"
    cancellations_max: int = Field(default=CANCELLATIONS_MAX, ge=0, le=CANCELLATIONS_MAX)

    def rule_for(self, method: str, path: str, chance: float) -> Rule | None:
        """The rule that this request falls under."""
        return next((rule for rule in self.rest if rule.applies(method, path, chance)), None)


def patched(document: Any, rule: Rule) -> Any:
    """A JSON document with the rule's members set and taken out; a pointer that leads nowhere changes nothing."""
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
