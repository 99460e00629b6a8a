"""The launcher's API client against the real API over HTTP."""

import threading
from collections.abc import Iterator

import pytest
from werkzeug.serving import make_server

from launcher.api import Api, ApiError
from tests.support.payments_stack import serving
from tests.support.trading_harness import opened, settings_for
from tests.webapp.client import api_on

# Two sign-ins may fall into different seconds.
OFTEN = 3


@pytest.fixture
def url(migrated_sqlite: str, valkey_url: str) -> Iterator[str]:
    """An API that allows one sign-in per second and address."""
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


def test_rate_limited_call_is_repeated_after_the_named_time(url: str) -> None:
    waited: list[int] = []

    def wait(seconds: int) -> None:
        waited.append(seconds)
        threading.Event().wait(seconds)

    api = Api(url, wait=wait)
    who = registered(api)
    sign_in_often(api, who)

    assert set(waited) == {1}
    assert api.get("/users/me")["email"] == "demo@example.com"


def test_rate_limited_call_raises_without_wait(url: str) -> None:
    api = Api(url)
    who = registered(api)

    with pytest.raises(ApiError) as error:
        sign_in_often(api, who)

    assert (error.value.status, error.value.code, error.value.retry_after_s) == (
        429,
        "rate-limited",
        1,
    )
