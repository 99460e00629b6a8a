"""Client address behind trusted proxies.

Werkzeug's ProxyFix trusts a fixed number of forwarded entries from any sender, so a client that
bypasses the proxy could forge its address. Here only trusted networks may name the client.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask

from trading.client_addresses import client_address

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def install(app: Flask) -> None:
    """Set REMOTE_ADDR of every request to the client's address."""
    trusted = app.extensions["stocking"].settings.trusted_networks
    if not trusted:
        return
    wsgi_app: WSGIApplication = app.wsgi_app

    def with_client_address(
        environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        environ["REMOTE_ADDR"] = client_address(
            environ.get("REMOTE_ADDR", ""), environ.get("HTTP_X_FORWARDED_FOR", ""), trusted
        )
        return wsgi_app(environ, start_response)

    app.wsgi_app = with_client_address  # type: ignore[method-assign]  # as Flask documents it
