"""Check whether a payment that PortOne reports matches the terms that were agreed.

The browser starts the payment and is under the payer's control: amount, currency and channel of a
report are the payer's choice until they are compared with the terms stored at preparation.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from trading.payments.model import is_payment_id
from trading.payments.portone_payment import KRW, LIVE, VERSION, Report


class Mismatch(StrEnum):
    """A term in which a report differs from the agreement."""

    PAYMENT_ID = "payment-id"
    STORE = "store"
    VERSION = "version"
    AMOUNT = "amount"
    CURRENCY = "currency"
    TAX_FREE_AMOUNT = "tax-free-amount"
    TEST_CHANNEL = "test-channel"
    CHANNEL = "channel"


# With one of these the report is about another payment or another amount, and proves nothing about
# money that was credited before.
IDENTITY_MISMATCHES = frozenset(
    {Mismatch.PAYMENT_ID, Mismatch.STORE, Mismatch.VERSION, Mismatch.AMOUNT, Mismatch.CURRENCY}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentTerms:
    """Terms agreed when a payment was prepared: ``amount`` won, tax-free amount zero, our store.

    The payer may use any of ``channel_keys``. A test channel reports PAID without any money, so
    ``test_channel_allowed`` is for development only. ``expires_at`` (aware) ends the wait for a
    payment that was not started.
    """

    payment_id: str
    store_id: str
    channel_keys: frozenset[str]
    amount: int
    expires_at: datetime
    test_channel_allowed: bool = False

    def __post_init__(self) -> None:
        if not is_payment_id(self.payment_id):
            raise ValueError("A payment id is 32 lower-case letters and digits.")
        if self.amount <= 0:
            raise ValueError("A payment amount is at least one won.")
        if self.expires_at.tzinfo is None:
            raise ValueError("expires_at needs a UTC offset.")


def find_mismatches(terms: PaymentTerms, report: Report) -> frozenset[Mismatch]:
    """Return every term in which the report differs; money is credited only if there is none."""
    matches = {
        Mismatch.PAYMENT_ID: report.payment_id == terms.payment_id,
        Mismatch.STORE: report.store_id == terms.store_id,
        Mismatch.VERSION: report.version == VERSION,
        Mismatch.AMOUNT: report.total == terms.amount,
        Mismatch.CURRENCY: report.currency == KRW,
        Mismatch.TAX_FREE_AMOUNT: report.tax_free == 0,
        Mismatch.TEST_CHANNEL: report.channel_type == LIVE or terms.test_channel_allowed,
        Mismatch.CHANNEL: report.channel_key in terms.channel_keys,
    }
    return frozenset(mismatch for mismatch, is_equal in matches.items() if not is_equal)
