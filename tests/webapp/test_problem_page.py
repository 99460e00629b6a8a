"""The page that a problem's `type` links to."""

from flask.testing import FlaskClient

from tests.support.trading_harness import TradingHarness
from trading.errors import DomainError
from webapp import create_app
from webapp.http.problems import CODES, PAGE


def test_page_has_every_code(server_harness: TradingHarness) -> None:
    client: FlaskClient = create_app(server_harness.core).test_client()

    page = client.get(PAGE)

    assert page.status_code == 200
    for code in CODES:
        assert f'id="{code}"' in page.text


def test_every_domain_error_has_a_status_and_text() -> None:
    """A domain error without one would become a 500."""
    assert {refusal.code for refusal in DomainError.__subclasses__()} <= CODES
