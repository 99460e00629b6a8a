"""The API's entry: settings, the trading core and the Flask application on it."""

from trading import core, settings
from trading.logs import configure
from webapp import create_app
from webapp.queue import on_a_thread, producer_courier

_settings = settings.load()
configure(_settings)
app = create_app(
    core.build(
        _settings,
        deliver=producer_courier(_settings),
        publishing=on_a_thread,
        portone_timeouts=core.PORTONE_IN_A_HURRY,
    )
)
