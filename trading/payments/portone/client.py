"""The few calls of PortOne's REST API (V2) that taking and giving back money needs.

Each is one attempt. To look is safe at any time, to pre-register too; a cancellation is asked for again only with the idempotency
key and the arguments of the first time, and PortOne forgets a key after three hours.
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
    """Who wants a payment cancelled, in PortOne's words."""

    CUSTOMER = "CUSTOMER"
    ADMIN = "ADMIN"


class PortoneClient:
    """PortOne as one of our stores sees it. Every call raises PortoneError, and ValueError for arguments that can't be meant.

    Threads may share a client. As a context manager, or by ``close()``, it closes the connections of the thread that leaves it.
    """

    def __init__(
        self,
        *,
        api_url: str,
        api_secret: str | None,
        store_id: str | None,
        timeouts: PortoneTimeouts | None = None,
    ) -> None:
        """Without ``api_secret`` or ``store_id`` nothing can be asked, and every call raises PortoneNotSetUp."""
        if store_id == "":
            raise ValueError("A store has an id.")
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
        """What PortOne says of a payment now; None when it knows no such one, which is no fault before the payer began."""
        try:
            return read_report(
                self._transport.get(_path(payment_id), query={"storeId": self._store_id})
            )
        except PortoneApiError as error:
            # Any other 404 is a proxy's, and says nothing about the payment.
            if error.status == 404 and error.type == PAYMENT_NOT_FOUND:
                return None
            raise

    def pre_register(self, payment_id: str, *, amount: int) -> None:
        """Pin a payment to ``amount`` won, so that the browser can't begin it with another."""
        if amount <= 0:
            raise ValueError("A payment is of at least one won.")
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
        """Give ``amount`` won back to the payer, of the ``cancellable`` won that are left of the payment by our books; if they are not by
        PortOne's, it refuses.

        The answer is no promise of success: a cancellation may be REQUESTED only, or FAILED.
        """
        if not 0 < amount <= cancellable:
            raise ValueError("At least one won is given back, and no more than is left.")
        if not reason:
            raise ValueError("A cancellation has a reason.")
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
            raise PortoneProtocolError("the answer to a cancellation has none", 200)
        return cancellation

    def close_virtual_account(self, payment_id: str) -> None:
        """Close an account that waits for money, so that none can come any more."""
        # This one call takes no body, so the store is named in the query, as it is where something is read.
        self._transport.post(
            f"{_path(payment_id)}/virtual-account/close", query={"storeId": self._store_id}
        )


def _path(payment_id: str) -> str:
    if not is_payment_id(payment_id):
        raise ValueError("A payment's id is 32 lower-case letters and digits.")
    return f"/payments/{payment_id}"
