"""The demo payment page exists in development only."""

import pytest

from tests.support.trading_harness import opened, settings_for
from tests.webapp.client import Api, api_on
from tests.webapp.test_documentation import ASSET
from webapp.payment_demo import PATH


def page_with(sqlite_uri: str, redis_url: str, **changed: object) -> tuple[str, str]:
    """Return the page and its content security policy under these settings."""
    with opened(settings_for(sqlite_uri, redis_url, **changed)) as harness:
        answer = api_on(harness).client.get(PATH)
        assert (answer.status_code, answer.mimetype) == (200, "text/html")
        return answer.get_data(as_text=True), answer.headers["Content-Security-Policy"]


def test_page_uses_the_sandbox(migrated_sqlite: str, valkey_url: str) -> None:
    """The policy allows only what the page names, and no inline scripts."""
    page, policy = page_with(
        migrated_sqlite, valkey_url, portone_api_base_url="http://127.0.0.1:9999"
    )
    assets = ASSET.findall(page)
    assert [asset for asset in assets if not asset.startswith("/demo/")] == [
        "http://127.0.0.1:9999/v2/browser-sdk.js"
    ]
    assert "script-src 'self' http://127.0.0.1:9999;" in policy + ";"
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "<style" not in page
    assert page.count("<script") == page.count("<script src=")


def test_page_uses_portone(migrated_sqlite: str, valkey_url: str) -> None:
    page, policy = page_with(
        migrated_sqlite, valkey_url, portone_api_base_url="https://api.portone.io"
    )
    assert "https://cdn.portone.io/v2/browser-sdk.js" in ASSET.findall(page)
    assert "127.0.0.1" not in page + policy
    assert "script-src 'self' https://cdn.portone.io;" in policy + ";"


@pytest.mark.parametrize("name", ["payment.js", "payment.css"])
def test_assets_are_served_locally(sqlite_api: Api, name: str) -> None:
    page = sqlite_api.client.get(PATH).get_data(as_text=True)
    assert f"{PATH}/assets/{name}" in ASSET.findall(page)
    part = sqlite_api.client.get(f"{PATH}/assets/{name}")
    assert (part.status_code, part.mimetype.removeprefix("text/")) == (
        200,
        {"js": "javascript"}.get(name[8:], "css"),
    )
    part.close()


def test_page_is_absent_in_production_and_in_the_document(
    migrated_sqlite: str, valkey_url: str
) -> None:
    production = settings_for(migrated_sqlite, valkey_url).model_copy(
        update={"environment": "production"}
    )
    with opened(production) as harness:
        for path in (PATH, f"{PATH}/assets/payment.js"):
            assert api_on(harness).client.get(path).status_code == 404
        assert "/demo" not in api_on(harness).client.get("/openapi.json").get_data(as_text=True)
    with opened(settings_for(migrated_sqlite, valkey_url)) as harness:
        assert PATH not in api_on(harness).client.get("/openapi.json").get_data(as_text=True)
