"""Which rate limit each route counts against: one table, and defaults for reads and writes.

The limits themselves (requests per span) are settings: see ``trading/config/http_settings.py``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from trading.config.settings import Settings
from webapp.context import PREFIX


@dataclass(frozen=True, slots=True)
class Budget:
    """Requests that share one counter per client.

    `setting` names the limit. `whose` is the counting key: address, user or session. For the latter
    two, unauthenticated requests are counted by address in the budget `strangers`. `must_count`
    refuses requests while Redis is unavailable: for routes where an uncounted client could guess
    passwords or force password hashing. All other routes are served uncounted.
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
UNAUTHENTICATED = Budget("strangers", "rate_limit_strangers", "address")

BY_ROUTE: Mapping[tuple[str, str], Budget] = {
    ("POST", f"{PREFIX}/users/login"): SIGN_IN,
    ("POST", f"{PREFIX}/users"): REGISTRATION,
    ("POST", f"{PREFIX}/users/me/password"): PASSWORD,
    ("DELETE", f"{PREFIX}/users/me"): PASSWORD,
    ("POST", f"{PREFIX}/users/refresh"): REFRESH,
    ("POST", f"{PREFIX}/trading/orders"): ORDERS,
    ("DELETE", f"{PREFIX}/trading/orders"): ORDERS,
    ("PATCH", f"{PREFIX}/trading/orders/<uuid:order_id>"): ORDERS,
    ("DELETE", f"{PREFIX}/trading/orders/<uuid:order_id>"): ORDERS,
    # Stores nothing, and clients call it again on every keystroke in an order form.
    ("POST", f"{PREFIX}/trading/orders/preview"): READS,
    ("POST", f"{PREFIX}/balance/deposit"): MONEY,
    ("POST", f"{PREFIX}/balance/withdraw"): MONEY,
    ("POST", f"{PREFIX}/payments/portone/prepare"): MONEY,
    ("POST", f"{PREFIX}/payments/portone/complete"): MONEY,
    ("POST", f"{PREFIX}/payments/<payment_id>/cancel"): MONEY,
    ("POST", f"{PREFIX}/payments/portone/webhook"): WEBHOOK,
}

# Routes without a limit, with the reason.
EXEMPT: Mapping[str, str] = {
    "/healthz": "health checks must always be answered, and they cost nothing",
    "/readyz": "balancers ask often from few addresses; the front door keeps others away",
    "/metrics": "collectors ask often from few addresses; the front door keeps others away",
}


def budget_of(method: str, rule: str | None) -> Budget | None:
    """Return the budget of a request by method and URL rule (None for an unknown path).

    None means that the request is not counted. OPTIONS is not counted: browsers send preflight
    requests by themselves, and refusing one costs as much as answering it.
    """
    if rule in EXEMPT or method == "OPTIONS":
        return None
    return BY_ROUTE.get((method, rule or "")) or (READS if method in ("GET", "HEAD") else WRITES)
