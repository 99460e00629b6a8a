"""A payer's browser at the PortOne stand-in: requests of the SDK and the payment window."""

from collections.abc import Mapping
from typing import Any

import requests

TIMEOUT_S = 10.0


class PaymentPageError(Exception):
    """The stand-in refused a request of the browser."""


class PaymentPage:
    """PortOne stand-in at `portone_url`, used from a page at `page_url`."""

    def __init__(self, portone_url: str, page_url: str) -> None:
        self._portone_url = portone_url
        self._page_url = page_url

    def pay(self, prepared: Mapping[str, Any]) -> dict[str, Any]:
        """Open the payment window for a prepared payment and pay. Return the SDK's result."""
        request = {
            "storeId": prepared["store_id"],
            "channelKey": prepared["channel_key"],
            "paymentId": prepared["payment_id"],
            "orderName": prepared["order_name"],
            "totalAmount": prepared["amount"],
            "currency": prepared["currency"],
            "payMethod": "CARD",
        }
        opened = self._call(
            "POST", f"{self._portone_url}/sandbox/portone/sdk/request-payment", request
        )
        if "checkoutUrl" not in opened:
            raise PaymentPageError(f"The payment's window did not open: {opened.get('refusal')}.")
        result: dict[str, Any] = self._call("POST", f"{opened['checkoutUrl']}/pay", {})["result"]
        return result

    def stored_payment(self, payment_id: str) -> dict[str, Any]:
        """Return the payment as PortOne has it."""
        state = self._call("GET", f"{self._portone_url}/sandbox/portone/state", None)
        return dict(next(payment for payment in state["payments"] if payment["id"] == payment_id))

    def _call(self, method: str, url: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        try:
            answer = requests.request(
                method, url, json=body, headers={"Origin": self._page_url}, timeout=TIMEOUT_S
            )
            document = answer.json()
        except requests.RequestException as failure:
            raise PaymentPageError(
                f"{method} {url} got no answer: {type(failure).__name__}."
            ) from None
        if not answer.ok:
            raise PaymentPageError(f"{method} {url} answered {answer.status_code}: {document}.")
        return dict(document)
