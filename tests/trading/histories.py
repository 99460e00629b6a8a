"""Base of the state machines that run random histories against the real use cases."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import ClassVar
from uuid import UUID

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from tests.support.properties import examples
from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness, opened
from tests.trading.orders.steps import sweep
from trading.config.settings import Settings
from trading.errors import DomainError
from trading.tasks import TaskRequest

CODES = (SAMSUNG, HYNIX)
CODE = st.sampled_from(CODES)
# Small, so that batches fill up quickly.
SMALL_BATCH = 3
SWEEPS_MAX = 40


class History(RuleBasedStateMachine):
    """A random history with the settings ``under``.

    Subclasses define the rules, how the market continues, and what must hold at the end.
    """

    under: ClassVar[Settings]

    def __init__(self) -> None:
        super().__init__()
        self._open = ExitStack()
        self.harness: TradingHarness = self._open.enter_context(opened(self.under))
        self.users: list[UUID] = []
        self.mailbox: list[TaskRequest] = []

    def print_trades(self) -> None:
        """Trade every stock once more."""
        raise NotImplementedError

    def finish_pending_work(self) -> None:
        """Finish all pending work."""
        raise NotImplementedError

    def check_final_state(self) -> None:
        """Assert what must hold at the end of every history."""
        raise NotImplementedError

    def teardown(self) -> None:
        try:
            self.finish_pending_work()
            self.check_final_state()
        finally:
            self._open.close()

    def user(self, who: int) -> UUID:
        return self.users[who % len(self.users)]

    def collect(self) -> None:
        """Collect dispatched tasks in the mailbox, to be delivered in any order, or never."""
        self.mailbox += self.harness.sent
        self.harness.sent.clear()

    def tolerate(self, action: Callable[[], object]) -> None:
        """Run an action. A domain error is a valid result; any other error fails the test."""
        with suppress(DomainError):
            action()

    def sweep_until_idle(self) -> None:
        """Run what the sweep finds, and nothing else, until it finds nothing."""
        for _ in range(SWEEPS_MAX):
            self.harness.clock.advance(seconds=40)
            self.print_trades()
            self.harness.sent.clear()
            requests = sweep(self.harness).requests
            if not requests:
                # What was just dispatched becomes due.
                self.harness.clock.advance(seconds=3)
                requests = sweep(self.harness).requests
            if not requests:
                return
            for request in requests:
                self.harness.run(request)
        raise AssertionError(f"The sweep still finds work after {SWEEPS_MAX} rounds.")


def check(machine: type[History], *, histories: int, steps: int) -> None:
    """Run that many histories (or a quarter of them) of at most ``steps`` steps each."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples(histories),
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            database=None,
        ),
    )
