"""The circuit breaker compared with a model, over random histories of calls and waits."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from trading.circuit_breaker import CircuitBreaker, CircuitOpen

OPEN_S = 10


class Histories(RuleBasedStateMachine):
    """Whole seconds, so that sums are exact."""

    now = 0
    failures_in_a_row = 0
    last_admitted_or_failed = -OPEN_S

    @initialize(failures_max=st.integers(1, 4))
    def build(self, failures_max: int) -> None:
        self.failures_max = failures_max
        self.breaker = CircuitBreaker(
            failures_max=failures_max, open_s=OPEN_S, clock=lambda: self.now
        )

    @property
    def is_open(self) -> bool:
        return self.failures_in_a_row >= self.failures_max

    @rule(seconds=st.integers(1, 2 * OPEN_S))
    def wait(self, seconds: int) -> None:
        self.now += seconds

    @rule()
    def ask(self) -> None:
        """An open circuit admits one call per interval, and reports how long the interval still
        lasts.
        """
        left_s = self.last_admitted_or_failed + OPEN_S - self.now
        if self.is_open and left_s > 0:
            with pytest.raises(CircuitOpen) as refusal:
                self.breaker.admit()
            assert refusal.value.retry_after_s == left_s
        else:
            self.breaker.admit()
            self.last_admitted_or_failed = self.now

    @rule()
    def succeed(self) -> None:
        assert self.breaker.record_success() == self.is_open
        self.failures_in_a_row = 0

    @rule()
    def fail(self) -> None:
        self.failures_in_a_row += 1
        self.last_admitted_or_failed = self.now
        opened = self.failures_in_a_row == self.failures_max
        assert self.breaker.record_failure() == opened

    @invariant()
    def closed_circuit_admits_every_call(self) -> None:
        if not self.is_open:
            self.breaker.admit()


test_breaker_follows_its_model = Histories.TestCase
