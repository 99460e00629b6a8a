"""Actions of administrators and operators that are recorded in the administrators' log."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

OPERATOR_LENGTH_MAX = 64
TARGET_LENGTH_MAX = 200
REQUEST_ID_LENGTH_MAX = 64
# An IPv6 address in its longest form.
ADDRESS_LENGTH_MAX = 45

DONE = "done"
UNCHANGED = "unchanged"


class ActionKind(StrEnum):
    """Kinds of actions, by requests of administrators and commands of operators."""

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
    HALT_STOCK = "stocks.halt"
    RESUME_STOCK = "stocks.resume"
    DELIST_STOCK = "stocks.delist"
    LIQUIDATE_STOCK = "stocks.liquidate"
    SET_LEVERAGE = "stocks.set-leverage"
    ADD_ALIAS = "stocks.add-alias"
    REMOVE_ALIAS = "stocks.remove-alias"
    WRITE_OFF_HOLDINGS = "stocks.write-off"
    IMPORT_INDEX = "index.import"
    CHECK_PAYMENT = "payments.look"
    RESOLVE_ALERTS = "payments.resolve"
    ABANDON_REFUND = "payments.give-up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts: an administrator (``user_id``) by a request, or an operator by user name on the
    machine.
    """

    user_id: UUID | None = None
    operator: str | None = None
    request_id: str | None = None
    address: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminAction:
    """An action about to be taken. Its id is created first, so that a retry is recorded once."""

    id: UUID
    kind: ActionKind
    actor: Actor
    began_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of an action: a stable word, the target and further JSON values."""

    word: str = DONE
    target: str | None = None
    details: Mapping[str, object] = field(default_factory=dict)
