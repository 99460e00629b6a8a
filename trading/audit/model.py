"""What the audit finds, when it is due, and why an account may not trade."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from uuid import UUID

from trading.exchange.time import KST

# The night's audit begins when both exchanges are closed (KST).
NIGHT = time(4, 0)


@dataclass(frozen=True, slots=True)
class Breach:
    """A check, by its number, that does not hold for an account. ``sample`` shows some of the rows at fault, a line each."""

    user_id: UUID
    check_number: str
    sample: str


@dataclass(frozen=True, slots=True)
class AuditBatch:
    """What one batch came to: the accounts with the newest event that each had (0 without any), and the breaches."""

    events: Mapping[UUID, int]
    breaches: Sequence[Breach]


def last_night(now: datetime) -> datetime:
    """When the night's audit began last: by then every account is to be audited anew."""
    local = now.astimezone(KST)
    tonight = datetime.combine(local.date(), NIGHT, KST)
    return tonight if tonight <= local else tonight - timedelta(days=1)
