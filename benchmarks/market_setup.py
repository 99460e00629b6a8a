"""Stocks, trades and the audit for the benchmarks that trade."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from itertools import product
from uuid import UUID

from trading.accounts.accounts import RegisterUser, register
from trading.audit.checks import audit
from trading.bootstrap import Core
from trading.db.ids import new_id
from trading.marketdata.ticks import Position, Tick
from trading.redis import keys
from trading.stocks.import_listing import import_stocks
from trading.stocks.listing import ListedStock
from trading.unit_of_work import UnitOfWork


def list_stocks(core: Core, codes: Sequence[str], *, price: int) -> None:
    """Import stocks with these codes and this reference price (won), and print a trade of each."""
    listing = [
        ListedStock(code=code, name=code, market="KOSPI", sector="제조", reference_price=price)
        for code in codes
    ]
    core.run(import_stocks, listing)
    print_trades(core, codes, prices=[price])


def print_trades(core: Core, codes: Sequence[str], *, prices: Sequence[int]) -> None:
    """Write one trade of each stock at each price (won) to Redis, as the relayer does."""
    now = core.clock()
    with core.redis.pipeline(transaction=True) as pipeline:
        for number, (price, code) in enumerate(product(prices, codes)):
            position = Position(int(now.timestamp() * 1_000), number)
            tick = Tick(
                code=code, price=price, volume=1, traded_at=now, received_at=now, position=position
            )
            pipeline.xadd(keys.TICK_STREAM, {keys.TICK_FIELD: tick.to_json()}, id=str(position))
            pipeline.set(keys.last_tick(code), tick.to_json())
        pipeline.execute()


def open_accounts(core: Core, count: int, *, now: datetime) -> list[UUID]:
    """Register users who cannot sign in, each with the starting cash of the settings."""
    user_ids = [new_id() for _ in range(count)]

    def register_all(uow: UnitOfWork) -> None:
        uow = replace(uow, now=now)
        for user_id in user_ids:
            command = RegisterUser(
                user_id=user_id, email=f"{user_id.hex}@example.com", password_hash="", name="-"
            )
            register(uow, command)

    core.run(register_all)
    return user_ids


def require_clean_audit(core: Core) -> None:
    """Exit with status 1 when the audit finds a breach, as the figures are meaningless then."""
    findings = core.snapshot(audit)
    if breaches := [f"{found.name}: {found.breaches}" for found in findings if found.breaches]:
        sys.exit(f"The audit found {breaches}.")
