"""Security and caching headers of every answer."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from launcher.ports import free_port
from tests.front_door.conftest import Stack
from tests.push_gateway.harness import User
from tests.support.servers import (
    front_door_command,
    front_door_variables,
    require_chromium,
    start_program,
    wait_until,
)

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "accelerometer=(), camera=(), display-capture=(), geolocation=(), "
    "gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Server": None,
    "Via": None,
    "Strict-Transport-Security": None,
}
STREAM = "/api/v1/trading/realtime/stream"
JSON = {"Content-Type": "application/json"}
PAGES = ("/", "/docs/", "/demo/payment")


def headers_of(answer: requests.Response) -> dict[str, str | None]:
    return {name: answer.headers.get(name) for name in HEADERS}


@pytest.mark.parametrize(
    ("status", "method", "path", "more"),
    [
        (200, "GET", "/api/v1/market/clock", {}),
        (200, "HEAD", "/healthz", {}),
        (200, "OPTIONS", "/api/v1/balance", {}),
        (308, "GET", "/docs", {}),
        (400, "POST", "/api/v1/users", {"data": "{", "headers": JSON}),
        (401, "GET", "/api/v1/balance", {}),
        (401, "GET", STREAM, {}),
        (404, "GET", "/nothing", {}),
        (404, "GET", "/metrics", {}),
        (404, "GET", "/docs/no-such-file.js", {}),
        (404, "GET", "/docs/..%2f..%2fetc%2fpasswd", {}),
        (405, "PUT", "/healthz", {}),
        (413, "POST", "/api/v1/users", {"data": "x" * 70_000, "headers": JSON}),
        (415, "POST", "/api/v1/users", {"data": "x", "headers": {"Content-Type": "text/plain"}}),
        (422, "POST", "/api/v1/users", {"data": "{}", "headers": JSON}),
    ],
)
def test_answers_and_errors_have_the_headers(
    door: Stack, status: int, method: str, path: str, more: dict[str, Any]
) -> None:
    answer = requests.request(method, door.url + path, allow_redirects=False, timeout=60, **more)

    assert answer.status_code == status
    assert headers_of(answer) == HEADERS


def test_event_streams_have_the_headers(door: Stack) -> None:
    headers = {"Authorization": f"Bearer {User().token()}"}
    with requests.get(door.url + STREAM, headers=headers, timeout=30, stream=True) as answer:
        assert answer.status_code == 200
        assert headers_of(answer) == HEADERS


def test_parts_of_pages_are_revalidated(door: Stack) -> None:
    """A browser may cache them but must revalidate them before use."""
    part = requests.get(f"{door.url}/docs/swagger-ui.css", timeout=60)
    assert part.headers["Cache-Control"] == "no-cache"
    again = requests.get(part.url, headers={"If-None-Match": part.headers["ETag"]}, timeout=60)
    assert again.status_code == 304


@pytest.mark.parametrize("path", PAGES)
def test_page_allows_only_its_own_files(door: Stack, path: str) -> None:
    """Pages have no inline script, no inline style and no frames."""
    page = requests.get(door.url + path, timeout=60)
    policy = dict(
        part.split(" ", 1) for part in page.headers["Content-Security-Policy"].split("; ")
    )

    assert policy["default-src"] == "'none'"
    assert "unsafe" not in str(policy)
    assert policy["script-src"].startswith("'self'")
    assert policy["frame-ancestors"] == "'none'"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert page.text.count("<script") == page.text.count("<script src=")
    assert "<style" not in page.text
    assert " style=" not in page.text


def test_swagger_ui_runs_under_its_policy(door: Stack) -> None:
    """In a real browser every operation is shown, and the policy blocks nothing."""
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
    chrome = Chrome(options=options, service=Service(driver))
    try:
        chrome.get(f"{door.url}/docs/")
        wait_until(
            lambda: len(chrome.find_elements(By.CSS_SELECTOR, ".opblock")) > 60,
            what="the operations",
            deadline_s=60,
        )
        chrome.find_elements(By.CSS_SELECTOR, ".opblock-summary")[0].click()
        wait_until(
            lambda: chrome.find_elements(By.CSS_SELECTOR, ".example"),
            what="an example",
            deadline_s=60,
        )
        assert chrome.get_log("browser") == []
    finally:
        chrome.quit()


def test_https_is_enforced_with_tls(tmp_path: Path) -> None:
    """A site with a host name gets a certificate automatically, and HTTP redirects to HTTPS."""
    ports = {"HTTP_PORT": str(free_port()), "HTTPS_PORT": str(free_port())}
    site = f"https://localhost:{ports['HTTPS_PORT']}"
    variables = front_door_variables(1, api_port=1, home=tmp_path)
    process = start_program(
        front_door_command(), environment=variables | ports | {"SITE_ADDRESS": "localhost"}
    )
    root = tmp_path / ".local/share/caddy/pki/authorities/local/root.crt"

    def up() -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{site}/", verify=str(root), timeout=30).status_code == 200
        return False

    try:
        wait_until(root.exists, what="the authority's certificate", deadline_s=60)
        wait_until(up, what="the site is served", deadline_s=60)
        for path in ("/", "/metrics"):
            answer = requests.get(site + path, verify=str(root), timeout=30)
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        plain = f"http://localhost:{ports['HTTP_PORT']}/x"
        redirect = requests.get(plain, allow_redirects=False, timeout=30)
        assert (redirect.status_code, redirect.headers["Location"]) == (308, "https://localhost/x")
    finally:
        process.kill()
        process.wait()
