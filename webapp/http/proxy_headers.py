"""Behind proxies that are trusted a request comes from the client that they name; otherwise from whoever has connected.

Werkzeug's ProxyFix believes a number of entries whoever has sent them, so that a client who reaches the API past the proxy could come from anywhere.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask

from trading.client_addresses import client_address

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def install(app: Flask) -> None:
    """Have every request know its client's address."""
    trusted = app.extensions["stocking"].settings.trusted_networks
    if not trusted:
        return
    serve: WSGIApplication = app.wsgi_app

    def forwarded(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        environ["REMOTE_ADDR"] = client_address(
            environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", ""), trusted
        )
        return serve(environ, start_response)

    app.wsgi_app = forwarded  # type: ignore[method-assign]  # how Flask has it done
