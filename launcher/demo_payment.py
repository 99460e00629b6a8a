"""A payer's browser before the stand-in for PortOne: what a page's SDK asks for and what a window's button sends, by HTTP."""

from collections.abc import Mapping
from typing import Any

import requests

TIMEOUT_S = 10.0


class WindowError(Exception):
    """The stand-in did not do what a browser asked it for; the message names what that was."""


class PaymentPage:
    """PortOne's stand-in at ``portone_url``, as a page at ``page_url`` reaches it."""

    def __init__(self, portone_url: str, page_url: str) -> None:
        self._portone_url = portone_url
        self._page_url = page_url

    def pay(self, prepared: Mapping[str, Any]) -> dict[str, Any]:
        """Open the window for a payment that was prepared and press the button that pays it; what the page is told."""
        request = {
            "storeId": prepared["store_id"],
            "channelKey": prepared["channel_key"],
            "paymentId": prepared["payment_id"],
            "orderName": prepared["order_name"],
            "totalAmount": prepared["amount"],
            "currency": prepared["currency"],
            "payMethod": "CARD",
        }
        begun = self._call(
            "POST", f"{self._portone_url}/sandbox/portone/sdk/request-payment", request
        )
        if "checkoutUrl" not in begun:
            raise WindowError(f"The payment's window did not open: {begun.get('refusal')}.")
        told: dict[str, Any] = self._call("POST", f"{begun['checkoutUrl']}/pay", {})["result"]
        return told

    def books_of(self, payment_id: str) -> dict[str, Any]:
        """The payment as PortOne has it."""
        state = self._call("GET", f"{self._portone_url}/sandbox/portone/state", None)
        return dict(next(payment for payment in state["payments"] if payment["id"] == payment_id))

    def _call(self, method: str, url: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        try:
            answer = requests.request(
                method, url, json=body, headers={"Origin": self._page_url}, timeout=TIMEOUT_S
            )
            content = answer.json()
        except requests.RequestException as failure:
            raise WindowError(f"{method} {url} got no answer: {type(failure).__name__}.") from None
        if not answer.ok:
            raise WindowError(f"{method} {url} answered {answer.status_code}: {content}.")
        return dict(content)
