"""The API: Flask views that parse, make one call into the trading core, and answer."""

from flask import Flask

from trading.core import Core
from webapp import (
    api,
    authentication,
    command_line,
    cross_origin,
    documentation,
    forwarding,
    payment_demo,
    problems,
    rate_limits,
    request_context,
    sign_ins,
)
from webapp.bodies import UnambiguousJson

REQUEST_BYTES_MAX = 64 * 1024


def create_app(core: Core) -> Flask:
    """The application on a trading core; nothing is read from the environment here and nothing connects yet."""
    app = Flask(__name__, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=REQUEST_BYTES_MAX, PROPAGATE_EXCEPTIONS=False)
    # A path with slashes too many is not there, instead of being led to one that repeats it.
    app.url_map.merge_slashes = False
    app.json = UnambiguousJson(app)
    app.extensions["stocking"] = core
    forwarding.install(app)
    request_context.install(app)
    cross_origin.install(app)
    authentication.install(app)
    rate_limits.install(app)
    sign_ins.install(app)
    documentation.install(app)
    api.install(app)
    payment_demo.install(app)
    problems.install(app)
    command_line.install(app)
    return app
