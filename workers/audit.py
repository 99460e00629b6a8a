"""The periodic task that audits accounts."""

import time
from datetime import datetime
from typing import Any

import structlog

import celery_config
from trading.audit.checks import audit_accounts as audit
from trading.audit.model import AuditBatch
from trading.audit.run import claim_batch, record_audit_run, record_batch
from trading.bootstrap import Core
from trading.tasks import Task
from workers.application import app
from workers.task import PeriodicTask, get_core

log = structlog.get_logger(__name__)

# No batch starts after this many seconds; the next run takes the rest.
_RUN_S = 10.0


# Not retried: the next periodic run covers it.
@app.task(
    base=PeriodicTask,
    name=str(Task.AUDIT_ACCOUNTS),
    autoretry_for=(),
    soft_time_limit=celery_config.AUDIT_SOFT_TIME_LIMIT_S,
    time_limit=celery_config.AUDIT_SOFT_TIME_LIMIT_S + 30,
)
def audit_accounts() -> dict[str, Any] | None:
    """Audit the accounts that changed, and at night all, in batches.

    Halts the trading of accounts that violate an invariant.
    """
    core = get_core()
    run_started_at, began = core.clock(), time.monotonic()
    accounts = breaches = 0
    while time.monotonic() - began < _RUN_S and (audited := _audit_batch(core, run_started_at)):
        accounts, breaches = accounts + len(audited.events), breaches + len(audited.breaches)
    duration_ms = round((time.monotonic() - began) * 1_000)
    core.run(record_audit_run, accounts=accounts, duration_ms=duration_ms)
    return {"accounts": accounts, "breaches": breaches} if accounts else None


def _audit_batch(core: Core, run_started_at: datetime) -> AuditBatch | None:
    """Audit the next batch of accounts; return None if there is none."""
    started_at = core.clock()
    accounts = core.run(claim_batch, run_began_at=run_started_at)
    if not accounts:
        return None
    audited = core.snapshot(audit, accounts)
    breaches_found = core.run(record_batch, audited, begun_at=started_at)
    for breach in breaches_found:
        log.error("audit_breach", user_id=str(breach.user_id), check_number=breach.check_number)
    return audited
