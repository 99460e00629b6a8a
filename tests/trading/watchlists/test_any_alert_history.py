"""Any history of trades, alerts and looks, held against the definition in its plainest form: each armed alert against each trade behind it."""

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
        st.tuples(st.just("look"), st.none(), st.none(), st.none()),
        st.tuples(st.just("wait"), st.integers(0, 4), st.none(), st.none()),
    ),
    max_size=40,
)


@dataclass
class Expected:
    """An alert as the definition has it: where the price stood when it was armed, and the trades of its stock since."""

    bound: int
    stood_at: int | None
    since: list[tuple[int, int | None]] = field(default_factory=list)
    armed: bool = True

    def met_at(self, kind: AlertKind) -> int | None:
        """The price of the first trade since then that meets it."""
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
        for stood in (self.stood_at, first_base, first_price):
            if stood is not None and stood != self.bound:
                return price == self.bound or (stood < self.bound) != (price < self.bound)
        return price >= self.bound


class History:
    """Two users who watch two stocks, and what they should have been told."""

    def __init__(self, harness: TradingHarness) -> None:
        self.harness = harness
        harness.core.redis.delete(*[keys.last_tick(code) for code in CODES])
        self.users = [harness.user() for _ in range(2)]
        self.items: list[tuple[UUID, str, UUID]] = [
            (user, code, watch(harness, user, code)) for user in self.users for code in CODES
        ]
        self.last: dict[str, int] = {}
        self.alerts: dict[tuple[UUID, AlertKind], Expected] = {}
        self.told: dict[UUID, list[tuple[str, str, int, int]]] = {user: [] for user in self.users}

    def trade(self, code: str, price: int, base: int | None) -> None:
        self.harness.tick(price, code, base=base)
        self.last[code] = price
        for _user, of_item, item in self.items:
            for kind in AlertKind:
                if code == of_item and (item, kind) in self.alerts:
                    self.alerts[item, kind].since.append((price, base))

    def set(self, which: int, kind: AlertKind, bound: int | None) -> None:
        user, code, item = self.items[which]
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
        there = self.alerts.get((item, kind))
        if bound is None:
            self.alerts.pop((item, kind), None)
        elif there is None or there.bound != bound or not there.armed:
            self.alerts[item, kind] = Expected(bound, self.last.get(code))

    def rearm(self, which: int) -> None:
        user, code, item = self.items[which]
        self.harness.clock.advance(milliseconds=1)
        change(self.harness, user, item, rearm=True)
        for kind in AlertKind:
            there = self.alerts.get((item, kind))
            if there is not None and not there.armed:
                self.alerts[item, kind] = Expected(there.bound, self.last.get(code))

    def look(self) -> None:
        check_alerts(self.harness)
        for user, code, item in self.items:
            for kind in AlertKind:
                alert = self.alerts.get((item, kind))
                price = alert.met_at(kind) if alert and alert.armed else None
                if alert and price is not None:
                    alert.armed = False
                    self.told[user].append((code, kind, alert.bound, price))

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
            told = sorted(
                (one["stock_code"], one["kind"], one["bound"], one["tick_price"]) for one in found
            )
            assert told == sorted(self.told[user])


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
def test_alerts_fire_by_their_definition(
    module_harness: TradingHarness, steps: list[tuple[str, object, object, object]]
) -> None:
    """Whatever the order of trades, changes, looks and waits: told is what the definition says, each once, and the state follows."""
    history = History(module_harness)
    try:
        for action, *arguments in [*steps, ("look", None, None, None)]:
            match action:
                case "trade":
                    history.trade(*arguments)  # type: ignore[arg-type]
                case "set":
                    history.set(*arguments)  # type: ignore[arg-type]
                case "rearm":
                    history.rearm(arguments[0])  # type: ignore[arg-type]
                case "wait":
                    module_harness.clock.advance(seconds=arguments[0])  # type: ignore[arg-type]
                case "look":
                    history.look()
                    history.compare()
    finally:
        for user, _code, item in history.items:
            unwatch(module_harness, user, item)


def test_the_books_are_sound_after_all_this(module_harness: TradingHarness) -> None:
    """Nothing that the audit knows of was broken on the way."""
    assert module_harness.breaches() == []
