"""What a source of live trades is to the relayer. Toss's web feed is the first; the official one can stand beside it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class FeedUnavailable(Exception):
    """No connection stands: it was refused, it was lost, or the source went silent. The message says which, without secrets."""


class TradeMessage(NamedTuple):
    """One message of a subscribed destination; whether the body is a trade is not the feed's to judge."""

    destination: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionConfirmed:
    """The source serves the destination."""

    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionUnconfirmed:
    """The source did not answer in time. The feed goes on asking: the destination counts as subscribed, but nobody has confirmed it."""

    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionRefused:
    """The source does not serve the destination; asking again at once would only lose the connection again."""

    destination: str
    reason: str


FeedEvent = TradeMessage | SubscriptionConfirmed | SubscriptionUnconfirmed | SubscriptionRefused


class Feed(Protocol):
    """One connection at a time. ``subscribe``, ``unsubscribe`` and ``events`` may run side by side in one event loop."""

    @property
    def subscribed(self) -> frozenset[str]:
        """Destinations asked for on the present connection; none while there is no connection."""

    async def connect(self) -> None:
        """Connect, with fresh credentials. FeedUnavailable when the source refuses or does not answer."""

    async def subscribe(self, destinations: Sequence[str]) -> None:
        """Ask for destinations, paced as the source likes it. FeedUnavailable when the connection is lost meanwhile."""

    async def unsubscribe(self, destinations: Sequence[str]) -> None:
        """Withdraw destinations. FeedUnavailable when the connection is lost meanwhile."""

    def events(self) -> AsyncIterator[FeedEvent]:
        """Everything that comes, until the connection is lost: then FeedUnavailable is raised, an end is never silent."""

    async def close(self) -> None:
        """Take leave in order, within two seconds. Never raises, and does nothing without a connection."""

    def abort(self) -> None:
        """Drop the connection at once and without a word; a call of ``connect`` that is under way is the caller's to cancel. Never raises."""
