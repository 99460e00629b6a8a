"""Property test of price alerts against a reference model.

The model compares each armed alert with each trade of its stock since the alert was armed.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.properties import examples
from tests.support.servers import Valkey
from tests.support.trading_harness import HYNIX, SAMSUNG, TradingHarness, opened, settings_for
from tests.trading.orders.steps import events
from tests.trading.watchlists.watchlist_factory import (
    alerts_of,
    change,
    check_alerts,
    unwatch,
    watch,
)
from trading.account_events.stream import EventKind
from trading.redis import keys
from trading.watchlists.alert_rules import AlertKind

CODES = (SAMSUNG, HYNIX)
PRICES = st.integers(1, 9)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("trade"), st.sampled_from(CODES), PRICES, st.none() | PRICES),
        st.tuples(st.just("trade"), st.sampled_from(CODES), PRICES, st.none() | PRICES),
        st.tuples(
            st.just("set"), st.integers(0, 3), st.sampled_from(AlertKind), st.none() | PRICES
        ),
        st.tuples(st.just("rearm"), st.integers(0, 3), st.none(), st.none()),
        st.tuples(st.just("check"), st.none(), st.none(), st.none()),
        st.tuples(st.just("wait"), st.integers(0, 4), st.none(), st.none()),
    ),
    max_size=40,
)


@dataclass
class ExpectedAlert:
    """Expected state of an alert.

    `price_when_armed` is the last price (won) at that time, None if unknown. `since` holds the
    price and base price of each trade of its stock since then.
    """

    bound: int
    price_when_armed: int | None
    since: list[tuple[int, int | None]] = field(default_factory=list)
    armed: bool = True

    def met_at(self, kind: AlertKind) -> int | None:
        """Return the price of the first trade since arming that meets the alert."""
        for price, _ in self.since:
            if self._is_met(kind, price):
                return price
        return None

    def _is_met(self, kind: AlertKind, price: int) -> bool:
        if kind is AlertKind.UPPER:
            return price >= self.bound
        if kind is AlertKind.LOWER:
            return price <= self.bound
        first_price, first_base = self.since[0]
        for reference in (self.price_when_armed, first_base, first_price):
            if reference is not None and reference != self.bound:
                return price == self.bound or (reference < self.bound) != (price < self.bound)
        return price >= self.bound


class History:
    """Reference model: two users who watch two stocks, and the alert events expected."""

    def __init__(self, harness: TradingHarness) -> None:
        self.harness = harness
        harness.core.redis.delete(*[keys.last_tick(code) for code in CODES])
        self.users = [harness.user() for _ in range(2)]
        self.items: list[tuple[UUID, str, UUID]] = [
            (user, code, watch(harness, user, code)) for user in self.users for code in CODES
        ]
        self.last: dict[str, int] = {}
        self.alerts: dict[tuple[UUID, AlertKind], ExpectedAlert] = {}
        self.expected_events: dict[UUID, list[tuple[str, str, int, int]]] = {
            user: [] for user in self.users
        }

    def trade(self, code: str, price: int, base: int | None) -> None:
        self.harness.tick(price, code, base=base)
        self.last[code] = price
        for _user, of_item, item in self.items:
            for kind in AlertKind:
                if code == of_item and (item, kind) in self.alerts:
                    self.alerts[item, kind].since.append((price, base))

    def set(self, index: int, kind: AlertKind, bound: int | None) -> None:
        user, code, item = self.items[index]
        upper, lower = (
            bound
            if kind is each
            else alert.bound
            if (alert := self.alerts.get((item, each)))
            else None
            for each in (AlertKind.UPPER, AlertKind.LOWER)
        )
        if upper is not None and lower is not None and lower >= upper:
            return
        self.harness.clock.advance(milliseconds=1)
        change(self.harness, user, item, bounds={kind: bound})
        alert = self.alerts.get((item, kind))
        if bound is None:
            self.alerts.pop((item, kind), None)
        elif alert is None or alert.bound != bound or not alert.armed:
            self.alerts[item, kind] = ExpectedAlert(bound, self.last.get(code))

    def rearm(self, index: int) -> None:
        user, code, item = self.items[index]
        self.harness.clock.advance(milliseconds=1)
        change(self.harness, user, item, rearm=True)
        for kind in AlertKind:
            alert = self.alerts.get((item, kind))
            if alert is not None and not alert.armed:
                self.alerts[item, kind] = ExpectedAlert(alert.bound, self.last.get(code))

    def check(self) -> None:
        check_alerts(self.harness)
        for user, code, item in self.items:
            for kind in AlertKind:
                alert = self.alerts.get((item, kind))
                price = alert.met_at(kind) if alert and alert.armed else None
                if alert and price is not None:
                    alert.armed = False
                    self.expected_events[user].append((code, kind, alert.bound, price))

    def compare(self) -> None:
        for user, _code, item in self.items:
            stored = {
                kind: (row["bound"], row["fired_at"] is None)
                for kind, row in alerts_of(self.harness, item).items()
            }
            assert stored == {
                str(kind): (self.alerts[item, kind].bound, self.alerts[item, kind].armed)
                for kind in AlertKind
                if (item, kind) in self.alerts
            }
            found = [
                event.data for event in events(self.harness, user) if event.kind is EventKind.ALERT
            ]
            fired = sorted(
                (one["stock_code"], one["kind"], one["bound"], one["tick_price"]) for one in found
            )
            assert fired == sorted(self.expected_events[user])


@pytest.fixture(
    scope="module", params=["sqlite", "mariadb", pytest.param("mysql", marks=pytest.mark.full)]
)
def module_harness(
    request: pytest.FixtureRequest, valkey_server: Valkey
) -> Iterator[TradingHarness]:
    uri = request.getfixturevalue(f"migrated_{request.param}")
    with opened(settings_for(uri, valkey_server.url)) as harness:
        yield harness


@given(steps=STEPS)
@settings(
    max_examples=examples(40),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_alerts_fire_as_in_the_reference_model(
    module_harness: TradingHarness, steps: list[tuple[str, object, object, object]]
) -> None:
    """Trades, changes, checks and pauses come in any order; each expected alert fires once."""
    history = History(module_harness)
    try:
        for action, *arguments in [*steps, ("check", None, None, None)]:
            match action:
                case "trade":
                    history.trade(*arguments)  # type: ignore[arg-type]
                case "set":
                    history.set(*arguments)  # type: ignore[arg-type]
                case "rearm":
                    history.rearm(arguments[0])  # type: ignore[arg-type]
                case "wait":
                    module_harness.clock.advance(seconds=arguments[0])  # type: ignore[arg-type]
                case "check":
                    history.check()
                    history.compare()
    finally:
        for user, _code, item in history.items:
            unwatch(module_harness, user, item)


def test_audit_finds_no_breach_after_all_histories(module_harness: TradingHarness) -> None:
    assert module_harness.breaches() == []
