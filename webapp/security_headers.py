"""What browsers are told of every answer, so that nothing of it is taken for something else, framed, kept or passed on.

A view that needs more for a page of its own sets the header itself.
"""

from collections.abc import Mapping

from flask import Flask, Response

HSTS = "Strict-Transport-Security"

HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    # The policy for what is no page: should a browser ever show it as one, nothing in it runs or loads.
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), "
    "midi=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Nearly everything is somebody's own. What is the same for all, such as scripts of a page, says so itself.
    "Cache-Control": "no-store",
}
_HSTS_S = 365 * 86_400


def install(app: Flask) -> None:
    """Add them to every answer, errors too. HTTPS is demanded in production only, where something before the API ends TLS."""
    production = app.extensions["stocking"].settings.environment == "production"
    headers = {**HEADERS, **({HSTS: f"max-age={_HSTS_S}"} if production else {})}

    @app.after_request
    def _add(response: Response) -> Response:
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        return response
