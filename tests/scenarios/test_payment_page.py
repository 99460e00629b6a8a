"""The payment page and the stand-in's window in Chromium, with API, workers and webhooks."""

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

PHONE = (
    "Mozilla/5.0 (Linux; Android 14; SM-S921N) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/126.0 Mobile Safari/537.36"
)


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
def running_workers(stack: PaymentsStack) -> Iterator[None]:
    """Run workers and beat in the background."""
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


class PageUser:
    """A user at the payment page."""

    def __init__(self, browser: Chrome, stack: PaymentsStack) -> None:
        self.browser, self.stack = browser, stack
        self.person: Person = stack.api.person()
        self.page = stack.webhook_url.partition("/api/")[0] + PATH

    def sign_in(self) -> None:
        self.browser.get(self.page)
        self._find("#email").send_keys(self.person.email)
        self._find("#password").send_keys(self.person.password)
        self._find("#sign-in button").click()
        self.wait_for_text("#before", "10,000,000원")

    def charge(self, amount: str = "30000", method: str = "CARD") -> None:
        """Start a payment; afterwards the window is open."""
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
        self.wait_for_text("#amount", "30,000원")
        self._find(f"[data-action={deed}]").click()
        self.browser.switch_to.default_content()

    def wait_for_text(self, place: str, text: str) -> None:
        """Wait until an element has this text."""
        wait_until(lambda: text in self._text(place), what=f"{text} in {place}")

    def assert_nothing_blocked(self) -> None:
        """Assert that the content security policy blocked nothing."""
        messages = [entry["message"] for entry in self.browser.get_log("browser")]
        assert [message for message in messages if "Content Security Policy" in message] == []

    def payment(self) -> dict[str, object]:
        [payment] = self.stack.api.get("/payments", self.person).get_json()["data"]["items"]
        return dict(payment)

    def _find(self, place: str):  # type: ignore[no-untyped-def]  # Selenium's element
        return self.browser.find_element(By.CSS_SELECTOR, place)

    def _text(self, place: str) -> str:
        found = self.browser.find_elements(By.CSS_SELECTOR, place)
        return str(found[0].text) if found else ""


@pytest.fixture
def page_user(browser: Chrome, migrated_sqlite: str, valkey_url: str) -> Iterator[PageUser]:
    with payments_stack(migrated_sqlite, valkey_url) as stack, running_workers(stack):
        page_user = PageUser(browser, stack)
        page_user.sign_in()
        yield page_user
        browser.get("about:blank")


def test_payment_shows_the_new_balance(page_user: PageUser) -> None:
    page_user.charge()
    page_user.press("pay")
    page_user.wait_for_text("#status", "충전되었습니다")
    page_user.wait_for_text("#after", "10,030,000원")
    page_user.wait_for_text("#change", "+30,000원")
    page_user.assert_nothing_blocked()


def test_refused_card_is_reported_and_can_be_retried(page_user: PageUser) -> None:
    page_user.charge()
    page_user.press("fail")
    page_user.wait_for_text("#message", "카드사에서 승인을 거절하였습니다")
    page_user.wait_for_text("#status", "결제를 확인하고 있습니다")
    page_user.wait_for_text("#facts", "카드사에서 승인을 거절하였습니다")
    page_user.charge()
    page_user.press("pay")
    page_user.wait_for_text("#status", "충전되었습니다")


def test_closed_window_charges_nothing(page_user: PageUser) -> None:
    page_user.charge()
    page_user.press("close")
    page_user.wait_for_text("#message", "사용자가 결제를 취소하였습니다")
    page_user.wait_for_text("#change", "0원")
    assert page_user.payment()["status"] == "PENDING"


def test_virtual_account_waits_for_its_deposit(page_user: PageUser) -> None:
    page_user.charge(method="VIRTUAL_ACCOUNT")
    page_user.press("issue-account")
    page_user.wait_for_text("#facts", "KOOKMIN X0000000000001")
    page_user.wait_for_text("#change", "0원")
    page_user.stack.portone.move(str(page_user.payment()["payment_id"]), "deposit")
    page_user.wait_for_text("#status", "충전되었습니다")
    page_user.wait_for_text("#change", "+30,000원")


def test_browser_crash_after_payment_loses_nothing(page_user: PageUser) -> None:
    """PortOne notifies the server, and the page shows the payment when it is opened again."""
    page_user.charge()
    page_user.press("pay-and-die")
    page_user.browser.get("about:blank")
    wait_until(
        lambda: page_user.payment()["status"] == "CREDITED",
        what="it is credited",
    )
    page_user.browser.get(page_user.page)
    page_user.wait_for_text("#status", "충전되었습니다")
    page_user.wait_for_text("#change", "+30,000원")


def test_mobile_browser_is_redirected_to_the_window_and_back(page_user: PageUser) -> None:
    browser = page_user.browser
    agent = str(browser.execute_script("return navigator.userAgent"))
    browser.execute_cdp_cmd("Network.setUserAgentOverride", {"userAgent": PHONE})
    try:
        page_user.charge()
        wait_until(lambda: "/checkout/" in browser.current_url, what="the window")
        page_user.wait_for_text("#amount", "30,000원")
        browser.find_element(By.CSS_SELECTOR, "[data-action=pay]").click()
        wait_until(
            lambda: browser.current_url == page_user.page,
            what="the page again",
        )
        page_user.wait_for_text("#status", "충전되었습니다")
        page_user.wait_for_text("#change", "+30,000원")
    finally:
        browser.execute_cdp_cmd("Network.setUserAgentOverride", {"userAgent": agent})
