"""Registry of feeds, selected by the setting ``FEED``.

To add a feed, add it to the table here and its name to the settings.
"""

from collections.abc import Callable, Mapping

from relayer.feed.interface import Feed
from relayer.feed.stomp_feed import StompFeed
from trading.config.settings import Settings


def build_feed(settings: Settings) -> Feed:
    """Return the configured feed, not yet connected."""
    return FEEDS[settings.feed](settings)


def _toss_web(settings: Settings) -> Feed:
    return StompFeed(
        api_url=settings.toss_api_url,
        websocket_url=settings.toss_websocket_url,
        heart_beat_ms=settings.relayer_heartbeat_ms,
        destination_style=settings.feed_destination_style,
    )


FEEDS: Mapping[str, Callable[[Settings], Feed]] = {"toss-web": _toss_web}
