"""Any history at all: random users, trades and wake-ups in every order, and after each step the books are sound."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import ClassVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.books import HYNIX, SAMSUNG, Books, opened, settings_for
from tests.servers import Valkey
from tests.trading.steps import deposit, rows, set_status, sweep, withdraw
from trading.queue import Wakeup
from trading.rules.errors import DomainError
from trading.rules.orders import Side
from trading.settings import Settings

CODES = st.sampled_from((SAMSUNG, HYNIX))
SMALL_BATCH = 3
ROUNDS_TO_QUIET = 60


class AnyHistory(RuleBasedStateMachine):
    """Acts on the real services as the API, the workers and the sweep do, without order or care."""

    under: ClassVar[Settings]

    def __init__(self) -> None:
        super().__init__()
        self._open = ExitStack()
        self.books: Books = self._open.enter_context(opened(self.under))
        self.users: list[UUID] = []
        self.mail: list[Wakeup] = []

    @initialize()
    def the_market_opens(self) -> None:
        self.books.tick(70_000)
        self.books.tick(900_000, HYNIX)
        self.users.append(self.books.user())

    @rule()
    def register(self) -> None:
        if len(self.users) < 3:
            self.users.append(self.books.user())

    @rule(who=st.integers(0, 2), amount=st.integers(-5, 30_000_000), comes=st.booleans())
    def move_cash(self, who: int, amount: int, comes: bool) -> None:
        self.tolerate(lambda: (deposit if comes else withdraw)(self.books, self.user(who), amount))

    @rule(who=st.integers(0, 2), side=st.sampled_from(Side), quantity=st.integers(0, 120), code=CODES)
    def place(self, who: int, side: Side, quantity: int, code: str) -> None:
        self.tolerate(lambda: self.books.place(self.user(who), side, quantity, code))

    @rule(who=st.integers(0, 2), quantity=st.integers(1, 12), code=CODES)
    def buy_through_all_stages(self, who: int, quantity: int, code: str) -> None:
        self.collect()
        self.tolerate(lambda: self.books.place(self.user(who), Side.BUY, quantity, code))
        self.books.run_all()

    @rule(price=st.integers(1, 200_000), code=CODES, age_ms=st.sampled_from((0, 0, 0, 9_000, 10_001)))
    def print_a_trade(self, price: int, code: str, age_ms: int) -> None:
        self.books.tick(price, code, age_ms=age_ms)

    @rule(move_bp=st.integers(-500, 500), code=CODES)
    def move_the_price(self, move_bp: int, code: str) -> None:
        last = self.books.core.quotes.last_tick(code)
        self.books.tick(max(1, (last.price if last else 50_000) * (10_000 + move_bp) // 10_000), code)

    @rule(code=CODES, status=st.sampled_from(("TRADABLE", "TRADABLE", "HALTED", "DELISTED")))
    def change_the_list(self, code: str, status: str) -> None:
        set_status(self.books, status, code)

    @rule(which=st.integers(0, 50), times=st.integers(1, 2))
    def deliver(self, which: int, times: int) -> None:
        """Out of order, once or twice."""
        self.collect()
        if self.mail:
            wakeup = self.mail.pop(which % len(self.mail))
            for _ in range(times):
                self.books.run(wakeup)

    @rule(which=st.integers(0, 50))
    def lose(self, which: int) -> None:
        self.collect()
        if self.mail:
            self.mail.pop(which % len(self.mail))

    @rule(seconds=st.integers(0, 40))
    def time_passes_and_the_sweep_comes(self, seconds: int) -> None:
        self.books.clock.advance(seconds=seconds)
        self.mail += sweep(self.books).wakeups

    @invariant()
    def the_books_are_sound(self) -> None:
        assert self.books.breaches() == []

    def teardown(self) -> None:
        """A fresh market and sweeps until quiet: every order is final, every fill settled and applied, nothing is reserved."""
        try:
            self.bring_to_an_end()
            self.the_books_are_sound()
            assert rows(self.books, "SELECT id FROM orders WHERE finished_at IS NULL OR reserved_cash > 0") == []
            assert rows(self.books, "SELECT id FROM order_executions WHERE applied_at IS NULL") == []
            assert rows(self.books, "SELECT user_id FROM virtual_balances WHERE reserved_cash > 0") == []
            assert rows(self.books, "SELECT user_id FROM portfolios WHERE reserved_quantity > 0") == []
        finally:
            self._open.close()

    def bring_to_an_end(self) -> None:
        for code in (SAMSUNG, HYNIX):
            set_status(self.books, "TRADABLE", code)
        self.books.sent.clear()
        for _ in range(ROUNDS_TO_QUIET):
            self.books.clock.advance(seconds=40)
            for code in (SAMSUNG, HYNIX):
                self.books.tick(60_000, code)
            wakeups = sweep(self.books).wakeups
            if not wakeups:
                return
            for wakeup in wakeups:
                self.books.run(wakeup)
        raise AssertionError(f"The sweep still finds work after {ROUNDS_TO_QUIET} rounds.")

    def user(self, who: int) -> UUID:
        return self.users[who % len(self.users)]

    def collect(self) -> None:
        self.mail += self.books.sent
        self.books.sent.clear()

    def tolerate(self, action: Callable[[], object]) -> None:
        """A refusal is an answer; any other error is a finding."""
        with suppress(DomainError):
            action()


@pytest.fixture
def machine(database_uri: str, valkey_server: Valkey) -> type[AnyHistory]:
    class OnThisDatabase(AnyHistory):
        under = settings_for(database_uri, valkey_server.url, stage_batch_size=SMALL_BATCH)

    return OnThisDatabase


@pytest.mark.timeout(300)
def test_any_history_keeps_the_books_and_comes_to_its_end(machine: type[AnyHistory]) -> None:
    """Orders, cash, prices, halts, wake-ups doubled, shuffled and lost: the audit is clean after each step, and in the end all is done."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=10,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            database=None,
        ),
    )
