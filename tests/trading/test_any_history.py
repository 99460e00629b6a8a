"""Random histories: users, trades and tasks in any order, with an audit after each step."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule

from tests.support.servers import Valkey
from tests.support.trading_harness import HYNIX, settings_for
from tests.trading.histories import CODE, CODES, SMALL_BATCH, History, check
from tests.trading.orders.steps import deposit, rows, set_status, sweep, withdraw
from trading.exchange.order_types import Side


class AnyHistory(History):
    """Runs the real use cases as the API, the workers and the sweep do."""

    @initialize()
    def open_market(self) -> None:
        self.harness.tick(70_000)
        self.harness.tick(900_000, HYNIX)
        self.users.append(self.harness.user())

    @rule()
    def register(self) -> None:
        if len(self.users) < 3:
            self.users.append(self.harness.user())

    @rule(who=st.integers(0, 2), amount=st.integers(-5, 30_000_000), is_deposit=st.booleans())
    def move_cash(self, who: int, amount: int, is_deposit: bool) -> None:
        self.tolerate(
            lambda: (deposit if is_deposit else withdraw)(self.harness, self.user(who), amount)
        )

    @rule(
        who=st.integers(0, 2), side=st.sampled_from(Side), quantity=st.integers(0, 120), code=CODE
    )
    def place(self, who: int, side: Side, quantity: int, code: str) -> None:
        self.tolerate(lambda: self.harness.place(self.user(who), side, quantity, code))

    @rule(who=st.integers(0, 2), quantity=st.integers(1, 12), code=CODE)
    def buy_through_all_stages(self, who: int, quantity: int, code: str) -> None:
        self.collect()
        self.tolerate(lambda: self.harness.place(self.user(who), Side.BUY, quantity, code))
        self.harness.run_all()

    @rule(
        price=st.integers(1, 200_000), code=CODE, age_ms=st.sampled_from((0, 0, 0, 9_000, 10_001))
    )
    def print_trade(self, price: int, code: str, age_ms: int) -> None:
        self.harness.tick(price, code, age_ms=age_ms)

    @rule(move_bp=st.integers(-500, 500), code=CODE)
    def move_price(self, move_bp: int, code: str) -> None:
        last = self.harness.core.quotes.last_tick(code)
        self.harness.tick(
            max(1, (last.price if last else 50_000) * (10_000 + move_bp) // 10_000), code
        )

    @rule()
    def match(self) -> None:
        self.harness.match()

    @rule(code=CODE, status=st.sampled_from(("TRADABLE", "TRADABLE", "HALTED", "DELISTED")))
    def change_stock_status(self, code: str, status: str) -> None:
        set_status(self.harness, status, code)

    @rule(which=st.integers(0, 50), times=st.integers(1, 2))
    def deliver(self, which: int, times: int) -> None:
        """Deliver a task out of order, once or twice."""
        self.collect()
        if self.mailbox:
            request = self.mailbox.pop(which % len(self.mailbox))
            for _ in range(times):
                self.harness.run(request)

    @rule(which=st.integers(0, 50))
    def lose(self, which: int) -> None:
        self.collect()
        if self.mailbox:
            self.mailbox.pop(which % len(self.mailbox))

    @rule(seconds=st.integers(0, 40))
    def advance_and_sweep(self, seconds: int) -> None:
        self.harness.clock.advance(seconds=seconds)
        self.mailbox += sweep(self.harness).requests

    @invariant()
    def audit_finds_no_breach(self) -> None:
        assert self.harness.breaches() == []

    def finish_pending_work(self) -> None:
        """Open a fresh market and sweep until nothing is left."""
        for code in CODES:
            set_status(self.harness, "TRADABLE", code)
        self.harness.sent.clear()
        self.sweep_until_idle()

    def check_final_state(self) -> None:
        """Assert that all orders are final, all fills applied, and nothing is reserved."""
        self.audit_finds_no_breach()
        assert (
            rows(
                self.harness, "SELECT id FROM orders WHERE finished_at IS NULL OR reserved_cash > 0"
            )
            == []
        )
        assert rows(self.harness, "SELECT id FROM order_executions WHERE applied_at IS NULL") == []
        assert (
            rows(self.harness, "SELECT user_id FROM virtual_balances WHERE reserved_cash > 0") == []
        )
        assert (
            rows(self.harness, "SELECT user_id FROM portfolios WHERE reserved_quantity > 0") == []
        )

    def print_trades(self) -> None:
        for code in CODES:
            self.harness.tick(60_000, code)
        self.harness.match()


@pytest.fixture
def machine(database_uri: str, valkey_server: Valkey) -> type[AnyHistory]:
    class OnThisDatabase(AnyHistory):
        under = settings_for(database_uri, valkey_server.url, stage_batch_size=SMALL_BATCH)

    return OnThisDatabase


def test_random_history_keeps_every_invariant_and_completes(machine: type[AnyHistory]) -> None:
    """Tasks are doubled, shuffled and lost."""
    check(machine, histories=10, steps=30)
