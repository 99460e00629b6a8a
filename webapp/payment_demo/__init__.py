"""A page for trying a payment from end to end, outside of production; not part of the API."""

from urllib.parse import urlsplit

from flask import Blueprint, Flask, Response, make_response, render_template

from trading.config.settings import LOOPBACK_HOSTS
from webapp.context import get_core

PATH = "/demo/payment"
_SDK_PATH = "/v2/browser-sdk.js"
_REAL_SDK = "https://cdn.portone.io" + _SDK_PATH

blueprint = Blueprint(
    "payment_demo",
    __name__,
    url_prefix=PATH,
    template_folder="pages",
    static_folder="pages",
    static_url_path="/assets",
)


def install(app: Flask) -> None:
    """Serve the page, except in production."""
    if app.extensions["stocking"].settings.environment != "production":
        app.register_blueprint(blueprint)


@blueprint.get("")
def page() -> Response:
    """Return the page with the SDK of PortOne or of the sandbox, as the API's base URL says."""
    sdk, policy = _sdk_and_policy(get_core().settings.portone_api_base_url)
    response = make_response(render_template("payment.html", sdk=sdk))
    response.headers["Content-Security-Policy"] = policy
    # Payment gateways open windows of their own and communicate with the page through them.
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin-allow-popups"
    response.headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=()"
    return response


def _sdk_and_policy(api_base_url: str) -> tuple[str, str]:
    policy = {
        "default-src": "'none'",
        "style-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    if urlsplit(api_base_url).hostname in LOOPBACK_HOSTS:
        sdk = api_base_url + _SDK_PATH
        policy |= {
            "script-src": f"'self' {api_base_url}",
            "connect-src": f"'self' {api_base_url}",
            "frame-src": api_base_url,
        }
    else:
        # The payment gateways' windows are on other hosts, and forms lead there.
        sdk = _REAL_SDK
        policy |= {
            "script-src": "'self' https://cdn.portone.io",
            "connect-src": "'self' https://*.portone.io",
            "style-src": "'self' 'unsafe-inline'",
            "img-src": "https: data:",
            "frame-src": "https:",
            "form-action": "https:",
        }
    return sdk, "; ".join(f"{name} {sources}" for name, sources in policy.items())
