"""Subscription ids are counted, so no two destinations can share one."""


class SubscriptionIds:
    """Maps subscription ids to destinations. One object outlives all connections of a feed.

    A released destination gets a new id when it returns, so a message still in flight under the old
    id is ignored.
    """

    def __init__(self) -> None:
        self._count = 0
        self._by_destination: dict[str, str] = {}
        self._by_id: dict[str, str] = {}

    def assign(self, destination: str) -> str:
        """Return the destination's id; assign ``sub-1``, ``sub-2`` … if it has none."""
        known = self._by_destination.get(destination)
        if known is not None:
            return known
        self._count += 1
        subscription = f"sub-{self._count}"
        self._by_destination[destination] = subscription
        self._by_id[subscription] = destination
        return subscription

    def release(self, destination: str) -> None:
        """Forget the destination; do nothing if it has no id."""
        subscription = self._by_destination.pop(destination, None)
        if subscription is not None:
            del self._by_id[subscription]

    def destination(self, subscription: str | None) -> str | None:
        """Return the destination of an id, or None if unknown or released."""
        return None if subscription is None else self._by_id.get(subscription)
