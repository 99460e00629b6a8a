"""The shop's data in PortOne's console: stores, secrets and channels to payment gateways."""

from dataclasses import dataclass

from trading.config.settings import PORTONE_DEVELOPMENT_API_SECRET as API_SECRET
from trading.config.settings import PORTONE_DEVELOPMENT_CHANNEL_KEY as LIVE_CHANNEL_KEY
from trading.config.settings import PORTONE_DEVELOPMENT_STORE_ID as STORE_ID
from trading.config.settings import PORTONE_DEVELOPMENT_WEBHOOK_SECRET as WEBHOOK_SECRET

__all__ = [
    "API_SECRET",
    "CHANNELS",
    "DEFAULT_STORE_ID",
    "LIVE_CHANNEL_KEY",
    "LOOPBACK_HOSTS",
    "MERCHANT_ID",
    "STORE_ID",
    "WEBHOOK_SECRET",
    "PortoneChannel",
]

MERCHANT_ID = "merchant-00000000-0000-4000-8000-000000000001"
# The store of a secret without one. A client that does not name its store finds no payment there.
DEFAULT_STORE_ID = "store-00000000-0000-4000-8000-00000000000d"
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PortoneChannel:
    """A channel to a payment gateway.

    `slow_cancellations`: it decides on cancellations later. `manual`: the shop confirms payments.
    """

    key: str
    number: int
    type: str
    slow_cancellations: bool = False
    manual: bool = False

    def document(self) -> dict[str, str]:
        """Return the channel as part of a payment's JSON."""
        return {
            "type": self.type,
            "id": f"channel-id-00000000-0000-4000-8000-{self.number:012}",
            "key": self.key,
            "name": f"sandbox {self.number}",
            "pgProvider": "TOSSPAYMENTS",
            "pgMerchantId": "sandbox",
        }


_CHANNELS = (
    PortoneChannel(key=LIVE_CHANNEL_KEY, number=1, type="LIVE"),
    PortoneChannel(key="channel-key-00000000-0000-4000-8000-000000000002", number=2, type="TEST"),
    PortoneChannel(
        key="channel-key-00000000-0000-4000-8000-000000000003",
        number=3,
        type="LIVE",
        slow_cancellations=True,
    ),
    PortoneChannel(
        key="channel-key-00000000-0000-4000-8000-000000000004", number=4, type="LIVE", manual=True
    ),
)
CHANNELS = {channel.key: channel for channel in _CHANNELS}
