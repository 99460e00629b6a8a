"""The launcher as a client of the real API over real HTTP."""

import threading
from collections.abc import Iterator

import pytest
from werkzeug.serving import make_server

from launcher.api import Api, ApiError
from tests.support.payments_stack import serving
from tests.support.trading_harness import opened, settings_for
from tests.webapp.client import api_on

# Two may fall on two sides of a second.
OFTEN = 3


@pytest.fixture
def url(migrated_sqlite: str, valkey_url: str) -> Iterator[str]:
    """An API at which each address may sign in once a second."""
    settings = settings_for(
        migrated_sqlite, valkey_url, rate_limits=True, rate_limit_sign_in_address="1 per second"
    )
    with opened(settings) as harness:
        server = make_server("127.0.0.1", 0, api_on(harness).app, threaded=True)
        with serving(server):
            yield f"http://127.0.0.1:{server.server_port}"


def registered(api: Api) -> tuple[str, str]:
    api.post("/users", email="demo@example.com", password="a good long password", name="Demo")
    return "demo@example.com", "a good long password"


def sign_in_often(api: Api, who: tuple[str, str]) -> None:
    for _ in range(OFTEN):
        api.sign_in(*who)


def test_a_call_that_came_too_early_is_made_again(url: str) -> None:
    """After the time that the answer names."""
    waited: list[int] = []

    def wait(seconds: int) -> None:
        waited.append(seconds)
        threading.Event().wait(seconds)

    api = Api(url, wait=wait)
    who = registered(api)
    sign_in_often(api, who)

    assert set(waited) == {1}
    assert api.get("/users/me")["email"] == "demo@example.com"


def test_it_is_an_error_where_nobody_waits(url: str) -> None:
    api = Api(url)
    who = registered(api)

    with pytest.raises(ApiError) as refused:
        sign_in_often(api, who)

    assert (refused.value.status, refused.value.code, refused.value.retry_after_s) == (
        429,
        "rate-limited",
        1,
    )
