"""Swagger UI over our own document, from this machine's own files.

The page is ours, as that of the package has a script in its text, which no strict policy lets run; the rest is the package's.
"""

from pathlib import Path

import flask_swagger_ui
from flask import Blueprint, Flask, Response, make_response, render_template, send_from_directory

PATH = "/docs"

_FILES = Path(flask_swagger_ui.__file__).with_name("dist")
# It draws its signs from data: addresses; and nothing else comes from anywhere but here, as it asks this API only.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
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
    """A script, a style or a picture of the package."""
    return send_from_directory(_FILES, name)
