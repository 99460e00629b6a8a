"""What the audit of single accounts costs: ``python -m benchmarks.account_audits``.

Accounts trade on a private MariaDB; then all of them are due, and the audit looks at them in its own batches, as its task does. The same figure for the
statements of the whole audit, which reads every table once, is what it is held against.

Prints a line a round, and as its last line one JSON object: orders and accounts audited a second, the largest batch's time (ms), and the time of the whole
audit by that of all accounts.
"""

import argparse
import json
import time
from datetime import datetime
from statistics import median

from sqlalchemy import text

from benchmarks.traded_books import traded_books
from trading.core import Core
from trading.database.transactions import nothing_to_find
from trading.queries.audit import audit, audit_accounts
from trading.services.audit_accounts import claim_batch, record_audited


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    arguments.add_argument(
        "--orders", type=int, default=100_000, help="filled orders (default 100000)"
    )
    arguments.add_argument("--users", type=int, default=2_000, help="accounts (default 2000)")
    arguments.add_argument(
        "--rounds", type=int, default=5, help="how often all accounts are audited (default 5)"
    )
    options = arguments.parse_args()
    with traded_books("account_audits", users=options.users, orders=options.orders) as books:
        rounds = [_round(books.core, number, options.users) for number in range(options.rounds)]
    total_s = median(total_s for total_s, _longest_s, _whole_s in rounds)
    print(
        json.dumps(
            {
                "orders_per_s": round(options.orders / total_s),
                "accounts_per_s": round(options.users / total_s),
                "largest_batch_ms": round(
                    median(longest_s for _total_s, longest_s, _whole_s in rounds) * 1_000
                ),
                "ratio_whole": round(
                    median(whole_s / total_s for total_s, _longest_s, whole_s in rounds), 2
                ),
            }
        )
    )


def _round(core: Core, number: int, users: int) -> tuple[float, float, float]:
    """Audit all accounts once: seconds in all, of the largest batch, and of the whole audit."""
    core.database.transaction(
        lambda session: session.execute(text("UPDATE account_audits SET event_id = 0")),
        landed=nothing_to_find,
    )
    began_at, batches, audited = core.clock(), [], 0
    while True:
        began = time.perf_counter()
        accounts = _batch(core, began_at)
        if not accounts:
            break
        batches.append(time.perf_counter() - began)
        audited += accounts
    if audited != users:
        raise SystemExit(f"{audited} of {users} accounts were audited: the figures mean nothing.")
    began = time.perf_counter()
    core.database.snapshot(lambda session: list(audit(session)))
    whole_s = time.perf_counter() - began
    print(
        f"round {number + 1}: {sum(batches):.2f} s in {len(batches)} batches, the largest {max(batches):.2f} s,"
        f" the whole audit {whole_s:.2f} s",
        flush=True,
    )
    return sum(batches), max(batches), whole_s


def _batch(core: Core, look_began_at: datetime) -> int:
    """Audit one batch and note it; how many accounts that were."""
    now = core.clock()
    accounts = core.database.transaction(
        lambda session: claim_batch(session, look_began_at=look_began_at, now=now),
        landed=nothing_to_find,
    )
    if not accounts:
        return 0
    found = core.database.snapshot(lambda session: audit_accounts(session, accounts))
    core.database.transaction(
        lambda session: record_audited(
            session, found, begun_at=now, settings=core.settings, now=now
        ),
        landed=nothing_to_find,
    )
    return len(accounts)


if __name__ == "__main__":
    main()
