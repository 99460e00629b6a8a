"""Swagger UI for the API's OpenAPI document, served from local files.

The HTML page is our own, because the package's page has an inline script, which the content
security policy blocks. All other files are the package's.
"""

from pathlib import Path

import flask_swagger_ui
from flask import Blueprint, Flask, Response, make_response, render_template, send_from_directory

PATH = "/docs"

_FILES = Path(flask_swagger_ui.__file__).with_name("dist")
# Icons are data: URLs; everything else comes from this origin.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

blueprint = Blueprint(
    "swagger_ui",
    __name__,
    url_prefix=PATH,
    template_folder="pages",
    static_folder="pages",
    static_url_path="/own",
)


def install(app: Flask) -> None:
    app.register_blueprint(blueprint)


@blueprint.get("/")
def page() -> Response:
    response = make_response(render_template("swagger-ui.html"))
    response.headers["Content-Security-Policy"] = _POLICY
    return response


@blueprint.get("/<path:name>")
def file(name: str) -> Response:
    """Serve a script, style or image of the package."""
    return send_from_directory(_FILES, name)
