"""CORS: allow the origins in the settings, and no others."""

import re

from flask import Flask
from flask_cors import CORS

from trading.requests import HEADER as REQUEST_ID
from webapp.context import PREFIX
from webapp.http import commands, rate_limits

PREFLIGHT_S = 600
# Request headers that the API reads, beyond those that CORS always allows.
REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    commands.KEY_HEADER,
    "Last-Event-ID",
    REQUEST_ID,
)
# Response headers that browser clients may read.
ANSWER_HEADERS = (
    "Content-Disposition",
    "Location",
    "Retry-After",
    REQUEST_ID,
    commands.REPLAYED_HEADER,
    *rate_limits.HEADERS,
)


def install(app: Flask) -> None:
    """Allow the listed origins to read responses.

    The page sends its token itself, so no credentials (cookies) are allowed.
    """
    origins = app.extensions["stocking"].settings.allowed_origins
    if origins:
        CORS(
            app,
            resources=re.compile(re.escape(PREFIX) + "/"),
            # As patterns: the library would take an origin with brackets, such as an IPv6 address,
            # for one.
            origins=[re.compile(re.escape(origin) + r"\Z") for origin in sorted(origins)],
            methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=list(REQUEST_HEADERS),
            expose_headers=list(ANSWER_HEADERS),
            max_age=PREFLIGHT_S,
            supports_credentials=False,
            always_send=False,
            intercept_exceptions=False,
        )
