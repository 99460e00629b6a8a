"""Results of the audit, and when the nightly audit begins."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from uuid import UUID

from trading.exchange.time import KST

# The nightly audit begins at this time (KST), when both exchanges are closed.
NIGHT = time(4, 0)


@dataclass(frozen=True, slots=True)
class Breach:
    """A check, by number, that failed for an account. ``sample`` shows some faulty rows, one a
    line.
    """

    user_id: UUID
    check_number: str
    sample: str


@dataclass(frozen=True, slots=True)
class AuditBatch:
    """Result of a batch: accounts with their newest event (0 without any), and breaches."""

    events: Mapping[UUID, int]
    breaches: Sequence[Breach]


def last_night(now: datetime) -> datetime:
    """Return when the last nightly audit began. It covers every account not audited since."""
    local = now.astimezone(KST)
    tonight = datetime.combine(local.date(), NIGHT, KST)
    return tonight if tonight <= local else tonight - timedelta(days=1)
