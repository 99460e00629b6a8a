"""The API's entry, and that of ``flask …`` commands: settings, the trading core and the Flask application on it."""

import click

from trading import bootstrap
from trading.config.processes import Process
from trading.observability.logs import setup_logging
from webapp import create_app
from webapp.background_sender import on_a_thread, producer_courier

_is_command = click.get_current_context(silent=True) is not None
_settings = setup_logging(Process.COMMAND if _is_command else Process.API)
app = create_app(
    bootstrap.build(
        _settings,
        deliver=producer_courier(_settings),
        publishing=on_a_thread,
        portone_timeouts=bootstrap.PORTONE_API_TIMEOUTS,
        # A person waits for an answer of the API; a command of ``flask``, such as an audit, may take its time.
        database_timeout_s=None if _is_command else _settings.api_database_timeout_s,
    )
)
