"""Interface of a source of live trades. Toss's web feed is the only implementation so far."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class FeedUnavailable(Exception):
    """There is no connection: it was refused, it was lost, or the source went silent.

    The message says which, without secrets.
    """


class TradeMessage(NamedTuple):
    """One message of a subscribed destination. The body may not be a valid trade."""

    destination: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionConfirmed:
    """The source serves the destination."""

    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionUnconfirmed:
    """The source did not confirm in time.

    The feed keeps asking: the destination counts as subscribed, but not as confirmed.
    """

    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionRefused:
    """The source does not serve the destination.

    Subscribing again at once would drop the connection again.
    """

    destination: str
    reason: str


FeedEvent = TradeMessage | SubscriptionConfirmed | SubscriptionUnconfirmed | SubscriptionRefused


class Feed(Protocol):
    """A feed with one connection at a time.

    ``subscribe``, ``unsubscribe`` and ``events`` may run concurrently in one event loop.
    """

    @property
    def subscribed(self) -> frozenset[str]:
        """Destinations requested on the current connection; empty without a connection."""

    async def connect(self) -> None:
        """Connect with fresh credentials. Raises FeedUnavailable if refused or not answered."""

    async def subscribe(self, destinations: Sequence[str]) -> None:
        """Subscribe at the source's pace. Raises FeedUnavailable if the connection is lost."""

    async def unsubscribe(self, destinations: Sequence[str]) -> None:
        """Unsubscribe. Raises FeedUnavailable if the connection is lost."""

    def events(self) -> AsyncIterator[FeedEvent]:
        """Yield all events until the connection is lost, then raise FeedUnavailable."""

    async def close(self) -> None:
        """Disconnect cleanly within two seconds. Never raises; does nothing if not connected."""

    def abort(self) -> None:
        """Drop the connection at once, without a DISCONNECT. Never raises.

        The caller cancels a ``connect`` that is still running.
        """
