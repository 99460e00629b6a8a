"""The feed is chosen by the settings."""

from typing import get_args

import pytest

from relayer.feed.destinations import DestinationStyle
from relayer.feed.registry import FEEDS, build_feed
from relayer.feed.stomp_feed import StompFeed
from trading.config.settings import Settings, SettingsError, load


def test_every_name_that_the_settings_take_is_a_feed() -> None:
    """And no other: a feed that cannot be chosen is dead code."""
    assert set(get_args(Settings.model_fields["feed"].annotation)) == set(FEEDS)


def test_every_style_that_the_settings_take_is_known() -> None:
    assert set(get_args(Settings.model_fields["feed_destination_style"].annotation)) == set(
        get_args(DestinationStyle)
    )


def test_toss_web_is_chosen_when_nothing_is_said() -> None:
    assert isinstance(build_feed(load({})), StompFeed)


@pytest.mark.parametrize("name", ["FEED", "FEED_DESTINATION_STYLE"])
def test_an_unknown_name_is_refused_at_the_start(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}: Input should be"):
        load({name: "carrier-pigeon"})
