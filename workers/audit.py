"""The periodic task that audits accounts."""

import time
from datetime import datetime
from typing import Any

import structlog

import celery_config
from trading.audit.checks import audit_accounts as audit
from trading.audit.model import Audited
from trading.audit.run import claim_batch, record_audit_run, record_audited
from trading.bootstrap import Core
from trading.db.transactions import rerun_is_safe
from trading.tasks import Task
from workers.application import app
from workers.task import CoreTask, get_core

log = structlog.get_logger(__name__)

# A look begins no batch after this; the next look takes the rest.
_LOOK_S = 10.0


# Not retried: the next look comes by itself.
@app.task(
    base=CoreTask,
    name=str(Task.AUDIT_ACCOUNTS),
    autoretry_for=(),
    soft_time_limit=celery_config.AUDIT_SOFT_TIME_LIMIT_S,
    time_limit=celery_config.AUDIT_SOFT_TIME_LIMIT_S + 30,
)
def audit_accounts() -> dict[str, Any] | None:
    """Audit the accounts that changed, and at night all, in batches; halt the trading of those whose books break an invariant."""
    core = get_core()
    look_began_at, began = core.clock(), time.monotonic()
    accounts = breaches = 0
    while time.monotonic() - began < _LOOK_S and (audited := _batch(core, look_began_at)):
        accounts, breaches = accounts + len(audited.events), breaches + len(audited.breaches)
    duration_ms = round((time.monotonic() - began) * 1_000)
    core.database.transaction(
        lambda session: record_audit_run(
            session, accounts=accounts, duration_ms=duration_ms, now=core.clock()
        ),
        find_committed=rerun_is_safe,
    )
    return {"accounts": accounts, "breaches": breaches} if accounts else None


def _batch(core: Core, look_began_at: datetime) -> Audited | None:
    """Audit the next accounts; None when there are none."""
    begun_at = core.clock()
    accounts = core.database.transaction(
        lambda session: claim_batch(session, look_began_at=look_began_at, now=begun_at),
        find_committed=rerun_is_safe,
    )
    if not accounts:
        return None
    audited = core.database.snapshot(lambda session: audit(session, accounts))
    found = core.database.transaction(
        lambda session: record_audited(
            session, audited, begun_at=begun_at, settings=core.settings, now=core.clock()
        ),
        find_committed=rerun_is_safe,
    )
    for breach in found:
        log.error("audit_breach", user_id=str(breach.user_id), check_number=breach.check_number)
    return audited
