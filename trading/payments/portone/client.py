"""Client for the calls of PortOne's REST API (V2) that payments need.

Each call is one attempt. Reading and pre-registering may be repeated at any time; a cancellation
may be repeated only with the idempotency key and the arguments of the first attempt, and PortOne
forgets a key after three hours.
"""

from enum import StrEnum
from typing import Self

from trading.payments.model import is_payment_id
from trading.payments.portone.errors import PortoneApiError, PortoneProtocolError
from trading.payments.portone.transport import PortoneTimeouts, PortoneTransport
from trading.payments.portone_payment import (
    KRW,
    Cancellation,
    Report,
    read_cancellation,
    read_report,
)

PAYMENT_NOT_FOUND = "PAYMENT_NOT_FOUND"


class Requester(StrEnum):
    """Who requests a cancellation, as PortOne names it."""

    CUSTOMER = "CUSTOMER"
    ADMIN = "ADMIN"


class PortoneClient:
    """Access to one store at PortOne.

    Every call raises PortoneError, or ValueError for impossible arguments. Threads may share a
    client. ``close()``, or leaving the context manager, closes the calling thread's connections.
    """

    def __init__(
        self,
        *,
        api_url: str,
        api_secret: str | None,
        store_id: str | None,
        timeouts: PortoneTimeouts | None = None,
    ) -> None:
        """Without ``api_secret`` or ``store_id`` every call raises PortoneNotConfigured."""
        if store_id == "":
            raise ValueError("A store id is not empty.")
        self._store_id = store_id or ""
        secret = None if store_id is None else api_secret
        self._transport = PortoneTransport(
            api_url=api_url, api_secret=secret, timeouts=timeouts or PortoneTimeouts()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    def get_payment(self, payment_id: str) -> Report | None:
        """Return PortOne's report on a payment; None when it has no such payment.

        A missing payment is normal until the payer has started it.
        """
        try:
            return read_report(
                self._transport.get(_path(payment_id), query={"storeId": self._store_id})
            )
        except PortoneApiError as error:
            # Any other 404 comes from a proxy and proves nothing about the payment.
            if error.status == 404 and error.type == PAYMENT_NOT_FOUND:
                return None
            raise

    def pre_register(self, payment_id: str, *, amount: int) -> None:
        """Pin a payment to ``amount`` won, so that the browser cannot change the amount."""
        if amount <= 0:
            raise ValueError("A payment amount is at least one won.")
        members = {"storeId": self._store_id, "totalAmount": amount, "currency": KRW}
        self._transport.post(f"{_path(payment_id)}/pre-register", members=members)

    def cancel(
        self,
        payment_id: str,
        *,
        amount: int,
        cancellable: int,
        reason: str,
        requester: Requester,
        idempotency_key: str,
    ) -> Cancellation:
        """Request that ``amount`` won be given back to the payer, and return the cancellation.

        ``cancellable`` is the amount (won) that remains of the payment by our records; PortOne
        refuses if its own records differ. The cancellation returned may only be REQUESTED, or
        FAILED.
        """
        if not 0 < amount <= cancellable:
            raise ValueError(
                "A cancellation is of at least one won and at most the cancellable amount."
            )
        if not reason:
            raise ValueError("A cancellation needs a reason.")
        members = {
            "storeId": self._store_id,
            "amount": amount,
            "currentCancellableAmount": cancellable,
            "reason": reason,
            "requester": requester,
        }
        answer = self._transport.post(
            f"{_path(payment_id)}/cancel", members=members, idempotency_key=idempotency_key
        )
        cancellation = read_cancellation(answer.get("cancellation"))
        if cancellation is None:
            raise PortoneProtocolError("the answer contains no cancellation", 200)
        return cancellation

    def close_virtual_account(self, payment_id: str) -> None:
        """Close a virtual account, so that no more money can arrive."""
        # This call takes no body, so the store goes into the query, as in reading calls.
        self._transport.post(
            f"{_path(payment_id)}/virtual-account/close", query={"storeId": self._store_id}
        )


def _path(payment_id: str) -> str:
    if not is_payment_id(payment_id):
        raise ValueError("A payment id is 32 lower-case letters and digits.")
    return f"/payments/{payment_id}"
