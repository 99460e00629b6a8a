"""Which web pages of other origins may use the API from a browser (CORS): those of the settings' list, and no other."""

import re

from flask import Flask
from flask_cors import CORS

from trading.requests import HEADER as REQUEST_ID
from webapp.context import PREFIX
from webapp.http import commands, rate_limits

PREFLIGHT_S = 600
# What the API reads of a request besides what every page may send.
REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    commands.KEY_HEADER,
    "Last-Event-ID",
    REQUEST_ID,
)
# What a client is told outside of the body.
ANSWER_HEADERS = (
    "Content-Disposition",
    "Location",
    "Retry-After",
    REQUEST_ID,
    commands.REPLAYED_HEADER,
    *rate_limits.HEADERS,
)


def install(app: Flask) -> None:
    """Let pages of the listed origins read the answers. A token is sent by the page itself, never by the browser, so no credentials are shared."""
    origins = app.extensions["stocking"].settings.allowed_origins
    if origins:
        CORS(
            app,
            resources=re.compile(re.escape(PREFIX) + "/"),
            # As patterns, since the library takes a text with brackets, such as that of an IPv6 address, for one.
            origins=[re.compile(re.escape(origin) + r"\Z") for origin in sorted(origins)],
            methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=list(REQUEST_HEADERS),
            expose_headers=list(ANSWER_HEADERS),
            max_age=PREFLIGHT_S,
            supports_credentials=False,
            always_send=False,
            intercept_exceptions=False,
        )
