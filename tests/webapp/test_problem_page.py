"""The page that every problem's ``type`` points to."""

from flask.testing import FlaskClient

from tests.support.trading_harness import TradingHarness
from trading.errors import DomainError
from webapp import create_app
from webapp.http.problems import CODES, PAGE


def test_every_code_has_its_place_on_the_page(server_harness: TradingHarness) -> None:
    """A client that follows a problem's type finds its code explained."""
    client: FlaskClient = create_app(server_harness.core).test_client()

    page = client.get(PAGE)

    assert page.status_code == 200
    for code in CODES:
        assert f'id="{code}"' in page.text


def test_every_refusal_of_the_product_has_a_status_and_words() -> None:
    """A domain error without a row in the table would be answered with a 500."""
    assert {refusal.code for refusal in DomainError.__subclasses__()} <= CODES
