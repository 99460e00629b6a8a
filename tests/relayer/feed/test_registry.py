"""The settings select the feed."""

from typing import get_args

import pytest

from relayer.feed.destinations import DestinationStyle
from relayer.feed.registry import FEEDS, build_feed
from relayer.feed.stomp_feed import StompFeed
from trading.config.settings import Settings, SettingsError, load


def test_every_feed_in_the_settings_is_registered() -> None:
    """And no other: a feed that cannot be selected is dead code."""
    assert set(get_args(Settings.model_fields["feed"].annotation)) == set(FEEDS)


def test_every_destination_style_in_the_settings_is_supported() -> None:
    assert set(get_args(Settings.model_fields["feed_destination_style"].annotation)) == set(
        get_args(DestinationStyle)
    )


def test_toss_web_is_the_default() -> None:
    assert isinstance(build_feed(load({})), StompFeed)


@pytest.mark.parametrize("name", ["FEED", "FEED_DESTINATION_STYLE"])
def test_an_unknown_feed_is_refused_at_start(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: Input should be"):
        load({name: "carrier-pigeon"})
