"""Entry point of the API and of ``flask …`` commands."""

import click

from trading import bootstrap
from trading.config.processes import Process
from trading.observability.logs import setup_logging
from webapp import create_app
from webapp.background_sender import background_dispatcher, background_publisher

_is_command = click.get_current_context(silent=True) is not None
_settings = setup_logging(Process.COMMAND if _is_command else Process.API)
app = create_app(
    bootstrap.build(
        _settings,
        deliver=background_dispatcher(_settings),
        publishing=background_publisher,
        portone_timeouts=bootstrap.PORTONE_API_TIMEOUTS,
        # API users wait for an answer; a ``flask`` command such as an audit may take longer.
        database_timeout_s=None if _is_command else _settings.api_database_timeout_s,
    )
)
# Not in tests of single commands, which choose the database themselves.
app.config["COMMANDS_NAME_DATABASE"] = _is_command
