"""Subscription ids: counted, never drawn or hashed, so that no two destinations can ever share one."""


class SubscriptionIds:
    """Which id stands for which destination. One object outlives all connections of a feed, so an id keeps its meaning.

    A released destination gets a new id when it comes back: a message still in flight under the old id then reaches nobody.
    """

    def __init__(self) -> None:
        self._count = 0
        self._by_destination: dict[str, str] = {}
        self._by_id: dict[str, str] = {}

    def assign(self, destination: str) -> str:
        """The destination's id, a new one (``sub-1``, ``sub-2`` …) when it has none."""
        known = self._by_destination.get(destination)
        if known is not None:
            return known
        self._count += 1
        subscription = f"sub-{self._count}"
        self._by_destination[destination] = subscription
        self._by_id[subscription] = destination
        return subscription

    def release(self, destination: str) -> None:
        """Forget the destination; nothing happens when it has no id."""
        subscription = self._by_destination.pop(destination, None)
        if subscription is not None:
            del self._by_id[subscription]

    def destination(self, subscription: str | None) -> str | None:
        """The destination that an id stands for; None for an unknown or released one."""
        return None if subscription is None else self._by_id.get(subscription)
