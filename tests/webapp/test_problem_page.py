"""The page that a problem's `type` links to."""

from flask.testing import FlaskClient

from tests.support.trading_harness import TradingHarness
from trading.errors import DomainError
from webapp import create_app
from webapp.http.problems import CODES, PAGE, is_momentary, status_of

# Refusals that the same request may escape later although nothing in it changes.
MOMENTARY_CONFLICTS = {
    "account-halted",
    "account-overdrawn",
    "cash-limit-exceeded",
    "insufficient-cash",
    "insufficient-quantity",
    "market-closed",
    "payment-not-refundable",
    "payment-under-way",
    "price-out-of-range",
    "refund-exceeds-payment",
    "refunds-forfeited",
    "request-in-progress",
    "stock-not-delisted",
    "stock-not-tradable",
    "subscription-budget-exceeded",
    "subscription-withdrawn",
    "watchlist-directory-not-empty",
    "watchlist-limit-reached",
    "watchlist-order-mismatch",
    "wrong-password",
}


def test_page_has_every_code(server_harness: TradingHarness) -> None:
    client: FlaskClient = create_app(server_harness.core).test_client()

    page = client.get(PAGE)

    assert page.status_code == 200
    for code in CODES:
        assert f'id="{code}"' in page.text


def test_every_code_is_permanent_or_momentary() -> None:
    """Faults of the server, limits of the rate and a missing sign-in are always momentary."""
    by_status = {
        code for code in CODES if status_of(code) in (401, 408, 429) or status_of(code) >= 500
    }
    assert {code for code in CODES if is_momentary(code)} == by_status | MOMENTARY_CONFLICTS


def test_every_domain_error_has_a_status_and_text() -> None:
    """A domain error without one would become a 500."""
    assert {refusal.code for refusal in DomainError.__subclasses__()} <= CODES
