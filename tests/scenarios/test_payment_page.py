"""A person at a browser: the payment page and the window of the stand-in, in Chromium, with the API, workers and webhooks behind it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

from tests.support.payments_stack import PaymentsStack, payments_stack
from tests.support.servers import require_chromium, wait_until
from tests.webapp.client import Person
from webapp.payment_demo import PATH

PHONE = "Mozilla/5.0 (Linux; Android 14; SM-S921N) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36"


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
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
        yield chrome
    finally:
        chrome.quit()


@contextmanager
def at_work(stack: PaymentsStack) -> Iterator[None]:
    """Workers and beat, as they do what is due all the time."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.05):
            stack.sweep()
            stack.work()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Visitor:
    """A user who looks at the page."""

    def __init__(self, browser: Chrome, stack: PaymentsStack) -> None:
        self.browser, self.stack = browser, stack
        self.person: Person = stack.api.person()
        self.page = stack.webhook_url.partition("/api/")[0] + PATH

    def sign_in(self) -> None:
        self.browser.get(self.page)
        self._find("#email").send_keys(self.person.email)
        self._find("#password").send_keys(self.person.password)
        self._find("#sign-in button").click()
        self.sees("#before", "10,000,000원")

    def charge(self, amount: str = "30000", method: str = "CARD") -> None:
        """Ask for a payment; afterwards the window is open."""
        field = self._find("#amount")
        field.clear()
        field.send_keys(amount)
        Select(self._find("#method")).select_by_value(method)
        self._find("#charge button").click()

    def press(self, deed: str) -> None:
        """Press a button of the window."""
        wait_until(
            lambda: self.browser.find_elements(By.TAG_NAME, "iframe"),
            what="the window",
        )
        self.browser.switch_to.frame(self._find("iframe"))
        self.sees("#amount", "30,000원")
        self._find(f"[data-deed={deed}]").click()
        self.browser.switch_to.default_content()

    def sees(self, place: str, text: str) -> None:
        """Wait until this text stands there."""
        wait_until(lambda: text in self._text(place), what=f"{text} in {place}")

    def was_kept_from_nothing(self) -> None:
        """The page's policy lets everything through that it needs."""
        told = [entry["message"] for entry in self.browser.get_log("browser")]
        assert [message for message in told if "Content Security Policy" in message] == []

    def payment(self) -> dict[str, object]:
        [payment] = self.stack.api.get("/payments", self.person).get_json()["data"]["items"]
        return dict(payment)

    def _find(self, place: str):  # type: ignore[no-untyped-def]  # Selenium's element
        return self.browser.find_element(By.CSS_SELECTOR, place)

    def _text(self, place: str) -> str:
        found = self.browser.find_elements(By.CSS_SELECTOR, place)
        return str(found[0].text) if found else ""


@pytest.fixture
def visitor(browser: Chrome, migrated_sqlite: str, valkey_url: str) -> Iterator[Visitor]:
    with payments_stack(migrated_sqlite, valkey_url) as stack, at_work(stack):
        visitor = Visitor(browser, stack)
        visitor.sign_in()
        yield visitor
        browser.get("about:blank")


def test_paying_shows_the_money(visitor: Visitor) -> None:
    visitor.charge()
    visitor.press("pay")
    visitor.sees("#status", "충전되었습니다")
    visitor.sees("#after", "10,030,000원")
    visitor.sees("#change", "+30,000원")
    visitor.was_kept_from_nothing()


def test_a_refused_card_is_told_and_may_be_tried_again(visitor: Visitor) -> None:
    visitor.charge()
    visitor.press("fail")
    visitor.sees("#message", "카드사에서 승인을 거절하였습니다")
    visitor.sees("#status", "결제를 기다리고 있습니다")
    visitor.sees("#facts", "카드사에서 승인을 거절하였습니다")
    visitor.charge()
    visitor.press("pay")
    visitor.sees("#status", "충전되었습니다")


def test_a_closed_window_costs_nothing(visitor: Visitor) -> None:
    visitor.charge()
    visitor.press("close")
    visitor.sees("#message", "사용자가 결제를 취소하였습니다")
    visitor.sees("#change", "0원")
    assert visitor.payment()["status"] == "PENDING"


def test_an_account_waits_for_its_deposit(visitor: Visitor) -> None:
    visitor.charge(method="VIRTUAL_ACCOUNT")
    visitor.press("issue-account")
    visitor.sees("#facts", "KOOKMIN X0000000000001")
    visitor.sees("#change", "0원")
    visitor.stack.portone.move(str(visitor.payment()["payment_id"]), "deposit")
    visitor.sees("#status", "충전되었습니다")
    visitor.sees("#change", "+30,000원")


def test_a_browser_that_dies_after_paying_loses_nothing(visitor: Visitor) -> None:
    """PortOne tells the server; whoever opens the page again sees it."""
    visitor.charge()
    visitor.press("pay-and-die")
    visitor.browser.get("about:blank")
    wait_until(
        lambda: visitor.payment()["status"] == "CREDITED",
        what="it is credited",
    )
    visitor.browser.get(visitor.page)
    visitor.sees("#status", "충전되었습니다")
    visitor.sees("#change", "+30,000원")


def test_a_phone_is_led_to_the_window_and_back(visitor: Visitor) -> None:
    browser = visitor.browser
    agent = str(browser.execute_script("return navigator.userAgent"))
    browser.execute_cdp_cmd("Network.setUserAgentOverride", {"userAgent": PHONE})
    try:
        visitor.charge()
        wait_until(lambda: "/checkout/" in browser.current_url, what="the window")
        visitor.sees("#amount", "30,000원")
        browser.find_element(By.CSS_SELECTOR, "[data-deed=pay]").click()
        wait_until(
            lambda: browser.current_url == visitor.page,
            what="the page again",
        )
        visitor.sees("#status", "충전되었습니다")
        visitor.sees("#change", "+30,000원")
    finally:
        browser.execute_cdp_cmd("Network.setUserAgentOverride", {"userAgent": agent})
