"""The HTTP API: Flask views that parse a request, call the trading core once, and respond."""

from flask import Flask

from trading.bootstrap import Core
from webapp import api, payment_demo
from webapp.cli import commands
from webapp.http import (
    authentication,
    cross_origin,
    login_throttling,
    openapi,
    problems,
    proxy_headers,
    rate_limits,
    request_context,
)
from webapp.http.json_parsing import UnambiguousJson

REQUEST_BYTES_MAX = 64 * 1024


def create_app(core: Core) -> Flask:
    """Create the Flask application on a trading core.

    Reads no environment variables and opens no connections.
    """
    app = Flask(__name__, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=REQUEST_BYTES_MAX, PROPAGATE_EXCEPTIONS=False)
    # Answer 404 for repeated slashes instead of redirecting.
    app.url_map.merge_slashes = False
    app.json = UnambiguousJson(app)
    app.extensions["stocking"] = core
    proxy_headers.install(app)
    request_context.install(app)
    cross_origin.install(app)
    authentication.install(app)
    rate_limits.install(app)
    login_throttling.install(app)
    openapi.install(app)
    api.install(app)
    payment_demo.install(app)
    problems.install(app)
    commands.install(app)
    return app
