"""Subscription ids never collide and stay valid."""

from hypothesis import given
from hypothesis import strategies as st

from relayer.stomp.subscription_ids import SubscriptionIds


@given(names=st.lists(st.text(max_size=5), max_size=50))
def test_no_two_destinations_share_an_id(names: list[str]) -> None:
    ids = SubscriptionIds()

    given_ids = {name: ids.assign(name) for name in names}

    assert len(set(given_ids.values())) == len(set(names))
    assert all(ids.destination(subscription) == name for name, subscription in given_ids.items())


def test_an_id_is_valid_until_released() -> None:
    """A released destination returns under a new id, so late messages of the old id are ignored."""
    ids = SubscriptionIds()
    first = ids.assign("/topic/a")
    assert ids.assign("/topic/a") == first

    ids.release("/topic/a")
    ids.release("/topic/never")

    assert ids.destination(first) is None
    assert ids.assign("/topic/a") != first
    assert ids.destination(None) is None
