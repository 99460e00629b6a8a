"""What every answer tells a browser, whatever was asked and whatever went wrong."""

from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from tests.books import opened, settings_for
from tests.servers import require_chromium, wait_until
from tests.webapp.client import Api, api_on
from tests.webapp.test_rate_limits import every_route
from webapp.security_headers import HEADERS, HSTS

# Pages and their parts: what they say themselves where others say the usual.
PAGES = ("/docs/", "/demo/payment")
PARTS = ("/docs/<path:name>", "/docs/own/<path:filename>", "/demo/payment/assets/<path:filename>")


def told(answer: TestResponse) -> dict[str, str | None]:
    return {name: answer.headers.get(name) for name in HEADERS}


@pytest.fixture
def api(migrated_sqlite: str, valkey_url: str) -> Iterator[Api]:
    with opened(
        settings_for(migrated_sqlite, valkey_url, rate_limits=True, stream_clients_max=0)
    ) as books:
        yield api_on(books)


def test_every_answer_has_them(api: Api) -> None:
    """Whatever route is asked, signed in or not, and whether it is a success or a refusal."""
    person = api.person()
    asked = every_route(api)
    assert len(asked) > 70
    for method, rule, path in asked:
        for headers in ({}, person.headers):
            with api.client.open(path, method=method, headers=headers) as answer:
                if rule not in PAGES + PARTS:
                    assert told(answer) == HEADERS, (method, rule, answer.status)
                assert HSTS not in answer.headers


@pytest.mark.parametrize(
    ("status", "request_of"),
    [
        (
            400,
            {
                "method": "POST",
                "path": "/api/v1/users",
                "data": "{",
                "content_type": "application/json",
            },
        ),
        (401, {"path": "/api/v1/balance"}),
        (404, {"path": "/nothing"}),
        (405, {"method": "PUT", "path": "/healthz"}),
        (
            413,
            {
                "method": "POST",
                "path": "/api/v1/users",
                "data": "x" * 70_000,
                "content_type": "application/json",
            },
        ),
        (
            415,
            {"method": "POST", "path": "/api/v1/users", "data": "x", "content_type": "text/plain"},
        ),
        (
            422,
            {
                "method": "POST",
                "path": "/api/v1/users",
                "data": "{}",
                "content_type": "application/json",
            },
        ),
        (308, {"path": "/docs"}),
        (200, {"method": "OPTIONS", "path": "/api/v1/balance"}),
        (200, {"method": "HEAD", "path": "/healthz"}),
        (404, {"path": "/docs/no-such-file.js"}),
        (404, {"path": "/docs/..%2f..%2fetc%2fpasswd"}),
    ],
)
def test_refusals_have_them(api: Api, status: int, request_of: dict[str, Any]) -> None:
    """Those that come before any view too."""
    answer = api.client.open(**request_of)

    assert answer.status_code == status
    assert told(answer) == HEADERS


def test_faults_of_ours_have_them(api: Api) -> None:
    """And they tell nothing of the fault."""

    @api.app.get("/fault")
    def fault() -> str:
        raise RuntimeError("inside")

    answer = api.client.get("/fault")

    assert (answer.status_code, told(answer)) == (500, HEADERS)
    assert "inside" not in answer.text


def test_refusals_of_too_many_requests_have_them(migrated_sqlite: str, valkey_url: str) -> None:
    """A 429 and a 503 are answers like others."""
    limits = {"rate_limits": True, "rate_limit_strangers": "1 per hour"}
    with opened(settings_for(migrated_sqlite, valkey_url, **limits)) as books:
        api = api_on(books)
        answers = [api.get("/market/clock") for _ in range(2)]

    assert [(answer.status_code, told(answer)) for answer in answers] == [
        (200, HEADERS),
        (429, HEADERS),
    ]


def test_nothing_personal_is_kept(api: Api) -> None:
    """Of what the API answers nothing may be stored by a browser or a proxy; the parts of pages may, if they ask before they use it."""
    person = api.person()

    for path in (
        "/users/me",
        "/balance",
        "/trading/orders",
        "/trading/orders/none",
        "/market/clock",
    ):
        assert api.get(path, person).headers["Cache-Control"] == "no-store"
    with api.client.get("/docs/swagger-ui.css") as part:
        assert part.headers["Cache-Control"] == "no-cache"
        etag = part.headers["ETag"]
    with api.client.get("/docs/swagger-ui.css", headers={"If-None-Match": etag}) as again:
        assert again.status_code == 304


@pytest.mark.parametrize("path", PAGES)
def test_a_page_allows_its_own_files_only(api: Api, path: str) -> None:
    """No script and no style in the text of a page, and no frame around it."""
    with api.client.get(path) as page:
        policy = dict(
            part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; ")
        )
        html = page.get_data(as_text=True)

    assert policy["default-src"] == "'none'"
    assert "unsafe" not in str(policy)
    assert policy["script-src"].startswith("'self'")
    assert policy["frame-ancestors"] == "'none'"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert html.count("<script") == html.count("<script src=")
    assert "<style" not in html
    assert " style=" not in html


def test_production_demands_https(migrated_sqlite: str, valkey_url: str) -> None:
    """Of every answer, errors too; a development installation, which has no TLS, demands nothing."""
    production = settings_for(migrated_sqlite, valkey_url).model_copy(
        update={"environment": "production"}
    )
    with opened(production) as books:
        for path in ("/healthz", "/nothing"):
            assert api_on(books).client.get(path).headers[HSTS] == "max-age=31536000"


def test_swagger_ui_runs_under_its_policy(migrated_sqlite: str, valkey_url: str) -> None:
    """In a real browser: every operation is shown, and nothing was held back by the policy."""
    path, driver = require_chromium()
    options = ChromeOptions()
    options.binary_location = path
    for argument in (
        "--headless=new",
        "--no-sandbox",
        "--disable-dev-shm-usage",
        "--window-size=900,1000",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with opened(settings_for(migrated_sqlite, valkey_url)) as books:
        server = make_server("127.0.0.1", 0, api_on(books).app, threaded=True)
        thread = Thread(target=server.serve_forever)
        thread.start()
        chrome = Chrome(options=options, service=Service(driver))
        try:
            chrome.get(f"http://127.0.0.1:{server.server_port}/docs/")
            wait_until(
                lambda: len(chrome.find_elements(By.CSS_SELECTOR, ".opblock")) > 60,
                what="the operations",
            )
            chrome.find_elements(By.CSS_SELECTOR, ".opblock-summary")[0].click()
            wait_until(
                lambda: chrome.find_elements(By.CSS_SELECTOR, ".example"),
                what="an example",
            )
            assert chrome.get_log("browser") == []
        finally:
            chrome.quit()
            server.shutdown()
            thread.join()
            server.server_close()
