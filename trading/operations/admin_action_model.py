"""What administrators and operators do that is put down in their log, and what an entry tells."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

OPERATOR_LENGTH_MAX = 64
TARGET_LENGTH_MAX = 200
REQUEST_ID_LENGTH_MAX = 64
# IPv6 in its longest form.
ADDRESS_LENGTH_MAX = 45

DONE = "done"
UNCHANGED = "unchanged"


class ActionKind(StrEnum):
    """By routes for administrators, and by commands of operators."""

    HALT_TRADING = "trading.halt"
    RESUME_TRADING = "trading.resume"
    HALT_ACCOUNT = "accounts.halt"
    RESUME_ACCOUNT = "accounts.resume"
    SUBSCRIBE = "feed.subscribe"
    UNSUBSCRIBE = "feed.unsubscribe"
    RECONNECT = "feed.reconnect"
    PROMOTE_USER = "users.promote"
    DEMOTE_USER = "users.demote"
    CHANGE_DAY = "calendar.change"
    FORGET_DAY = "calendar.forget"
    SEED_STOCKS = "stocks.seed"
    IMPORT_STOCKS = "stocks.import"
    IMPORT_INDEX = "index.import"
    LOOK_AT_PAYMENT = "payments.look"
    RESOLVE_ALERTS = "payments.resolve"
    GIVE_UP_REFUND = "payments.give-up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts: an administrator (``user_id``) by a request from an address, or an operator by his name on the machine."""

    user_id: UUID | None = None
    operator: str | None = None
    request_id: str | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminAction:
    """An action that is about to be taken. Its id is made before any transaction, so that one that runs twice is put down once."""

    id: UUID
    kind: ActionKind
    actor: Actor
    began_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an action, by a stable word, with JSON values that say more. ``target`` is what it was done to."""

    word: str = DONE
    target: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
