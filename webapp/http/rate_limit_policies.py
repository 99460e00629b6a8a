"""How often a request may be made, route by route: one table, and a budget for every route that it does not name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from trading.config.settings import Settings
from webapp.context import PREFIX


@dataclass(frozen=True, slots=True)
class Budget:
    """Requests that are counted together, one count for each of those who make them.

    ``setting`` says how many there may be. ``whose`` says whom they are counted for: an address, a user, or a session, of which the
    last two count for strangers too, by their address and in the budget of strangers. ``must_count`` says that a request is refused while it can't be
    counted, where without a count one could guess passwords or have them hashed for ever; everything else is more important than its count.
    """

    name: str
    setting: str
    whose: Literal["address", "user", "session"]
    must_count: bool = False

    def limit(self, settings: Settings) -> str:
        limit: str = getattr(settings, self.setting)
        return limit


SIGN_IN = Budget("sign-in", "rate_limit_sign_in_address", "address", must_count=True)
REGISTRATION = Budget("registration", "rate_limit_registration", "address", must_count=True)
PASSWORD = Budget("password", "rate_limit_password_change", "user", must_count=True)
REFRESH = Budget("refresh", "rate_limit_refresh", "session")
ORDERS = Budget("orders", "rate_limit_orders", "user")
MONEY = Budget("money", "rate_limit_money", "user")
WEBHOOK = Budget("webhook", "rate_limit_webhook", "address")
WRITES = Budget("writes", "rate_limit_writes", "user")
READS = Budget("reads", "rate_limit_reads", "user")
STRANGERS = Budget("strangers", "rate_limit_strangers", "address")

BY_ROUTE: Mapping[tuple[str, str], Budget] = {
    ("POST", f"{PREFIX}/users/login"): SIGN_IN,
    ("POST", f"{PREFIX}/users"): REGISTRATION,
    ("POST", f"{PREFIX}/users/me/password"): PASSWORD,
    ("POST", f"{PREFIX}/users/refresh"): REFRESH,
    ("POST", f"{PREFIX}/trading/orders"): ORDERS,
    ("DELETE", f"{PREFIX}/trading/orders"): ORDERS,
    ("PATCH", f"{PREFIX}/trading/orders/<uuid:order_id>"): ORDERS,
    ("DELETE", f"{PREFIX}/trading/orders/<uuid:order_id>"): ORDERS,
    # It stores nothing, and is asked again with each key that is typed into an order.
    ("POST", f"{PREFIX}/trading/orders/preview"): READS,
    ("POST", f"{PREFIX}/balance/deposit"): MONEY,
    ("POST", f"{PREFIX}/balance/withdraw"): MONEY,
    ("POST", f"{PREFIX}/payments/portone/prepare"): MONEY,
    ("POST", f"{PREFIX}/payments/portone/complete"): MONEY,
    ("POST", f"{PREFIX}/payments/<payment_id>/cancel"): MONEY,
    ("POST", f"{PREFIX}/payments/portone/webhook"): WEBHOOK,
}

# The only routes without a limit, each with the reason.
EXEMPT: Mapping[str, str] = {
    "/healthz": "who watches over the process must always get an answer, and it costs nothing",
    "/readyz": "balancers ask often, from few addresses; it is for them, and the proxy keeps others away",
    "/metrics": "collectors ask often, from few addresses; it is for them, and the proxy keeps others away",
}


def budget_of(method: str, rule: str | None) -> Budget | None:
    """The budget of a request by its method and the rule of its route, None for a path that has none; None where nothing is counted.

    OPTIONS is not: a browser asks by itself before it asks, and a refusal would cost as much as the answer.
    """
    if rule in EXEMPT or method == "OPTIONS":
        return None
    return BY_ROUTE.get((method, rule or "")) or (READS if method in ("GET", "HEAD") else WRITES)
