"""The OpenAPI document, with errors as RFC 9457 problems."""

from collections.abc import Callable
from copy import deepcopy
from http import HTTPStatus
from threading import RLock
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask, Response
from flask_smorest import Api, Blueprint
from marshmallow import Schema
from marshmallow.fields import Field

from trading.problems import MIMETYPE
from webapp import swagger_ui
from webapp.context import PREFIX, get_core
from webapp.http import stream_docs
from webapp.http.fields import Password
from webapp.http.json_parsing import Arguments, check_body
from webapp.http.openapi_limits import add_limits, documented_path
from webapp.http.schemas import ProblemSchema, component_name
from webapp.http.undeclared_input import View, checked, declare

_SUCCESSES = {"200": "성공", "201": "생성됨", "202": "접수됨"}


class ProblemApi(Api):
    """flask-smorest API that documents RFC 9457 problems; webapp.http.problems handles the errors.

    The document is generated on first request: that takes most of the startup time, and few
    processes are ever asked for it.
    """

    ERROR_SCHEMA = ProblemSchema

    def __init__(self, app: Flask, **options: Any) -> None:
        self._undocumented: list[Blueprint] = []
        self._has_responses = False
        self._lock = RLock()
        self._document: str | None = None
        super().__init__(app, **options)

    @property
    def spec(self) -> APISpec:
        """Return the document with every registered blueprint."""
        with self._lock:
            # Clear the list first: documenting a blueprint reads this property again.
            blueprints, self._undocumented = self._undocumented, []
            if blueprints and not self._has_responses:
                self._has_responses = True
                self._add_responses()
            for blueprint in blueprints:
                blueprint.register_views_in_doc(
                    self, self._app, self._spec, name=blueprint.name, parameters=None
                )
                self._spec.tag({"name": blueprint.name, "description": blueprint.description})
            return self._spec

    @spec.setter
    def spec(self, spec: APISpec) -> None:
        self._spec = spec

    def register_blueprint(self, blueprint: Blueprint) -> None:
        """Register the routes now; their documentation is added on first request."""
        self._app.extensions["flask-smorest"]["blp_name_to_api"][blueprint.name] = self
        self._app.register_blueprint(blueprint)
        self._undocumented.append(blueprint)

    def _openapi_json(self) -> Response:
        """Return the document with rate limits and Korean texts; it is built once."""
        with self._lock:
            if self._document is None:
                document = self.spec.to_dict()
                rules = {
                    documented_path(rule.rule): rule.rule for rule in self._app.url_map.iter_rules()
                }
                add_limits(document, rules)
                document["paths"][stream_docs.PATH] = deepcopy(stream_docs.OPERATIONS)
                _add_korean_texts(document)
                document["tags"].append(stream_docs.TAG)
                self._document = self._app.json.dumps(document)
        return Response(self._document, mimetype="application/json")

    def _register_error_handlers(self) -> None:
        """Do nothing: webapp.http.problems handles all errors."""

    def _register_responses(self) -> None:
        """Do nothing: responses are added on first request, like the blueprints."""

    def _add_responses(self) -> None:
        # flask-smorest documents errors as application/json and cannot be configured otherwise
        # (0.47).
        for status in HTTPStatus:
            self._spec.components.response(
                status.name,
                {
                    "description": f"오류 (RFC 9457, {status.phrase})",
                    "content": {MIMETYPE: {"schema": ProblemSchema}},
                }
                if status >= HTTPStatus.BAD_REQUEST
                else {"description": status.phrase},
                lazy=True,
            )
        self._spec.components.response(
            "DEFAULT_ERROR",
            {"description": "오류 (RFC 9457)", "content": {MIMETYPE: {"schema": ProblemSchema}}},
            lazy=True,
        )


def install(app: Flask) -> None:
    app.config.update(
        API_TITLE="StocKing",
        API_VERSION="v1",
        OPENAPI_VERSION="3.0.3",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
    )
    swagger_ui.install(app)


def make_api(app: Flask) -> ProblemApi:
    plugin = MarshmallowPlugin(schema_name_resolver=_resolve_schema_name)
    api = ProblemApi(
        app,
        spec_kwargs={
            "marshmallow_plugin": plugin,
            "info": {
                "description": (
                    "실시간 시세로 연습하는 모의 투자 API. 금액은 원(정수), 시각은 RFC 3339. "
                    "문서에 없는 조회 조건과 본문은 422로 거절합니다."
                )
            },
        },
    )
    if plugin.converter is None:
        raise TypeError("The plugin has no converter: it is not attached to a document.")
    plugin.converter.add_attribute_function(_openapi_attributes)
    api.spec.components.security_scheme(
        "bearer", {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    )
    return api


class CheckedBlueprint(Blueprint):
    """Blueprint that reads arguments with the strict parser and refuses undeclared input.

    Views that require authentication check it first.
    """

    ARGUMENTS_PARSER = Arguments()

    def arguments(
        self, schema: type[Schema] | Schema, *, location: str = "json", **options: Any
    ) -> Callable[[View], View]:
        decorate = super().arguments(schema, location=location, **options)

        def declared(view: View) -> View:
            reading = checked(decorate(view))
            declare(reading, location, schema)
            return reading

        return declared

    def response(self, *args: Any, **options: Any) -> Callable[[View], View]:
        decorate = super().response(*args, **options)
        return lambda view: checked(decorate(view))


def make_blueprint(name: str, description: str) -> Blueprint:
    """Return a blueprint below the API's URL prefix."""
    blueprint = CheckedBlueprint(name, __name__, url_prefix=PREFIX, description=description)
    blueprint.before_request(check_body)
    return blueprint


def _resolve_schema_name(schema: Any) -> str:
    return component_name(schema if isinstance(schema, type) else type(schema))


def _add_korean_texts(document: dict[str, Any]) -> None:
    """Give every operation a summary in both languages and a Korean description.

    The docstring of a view's method is the English summary, then a paragraph in Korean: a title, a
    full stop, and the description.
    """
    for item in document["paths"].values():
        for method, operation in item.items():
            if method != "parameters":
                title, _, description = operation["description"].partition(". ")
                operation["summary"] = f"{operation['summary'].removesuffix('.')} · {title}"
                operation["description"] = description
                for status, response in operation["responses"].items():
                    if status in _SUCCESSES:
                        response["description"] = _SUCCESSES[status]


def _openapi_attributes(
    _converter: Any, field: Field[Any], *, ret: dict[str, Any], **_: Any
) -> dict[str, Any]:
    """Return what marshmallow does not express, or not as OpenAPI 3.0 does.

    The enum of a nullable member contains null, patterns are ECMAScript, and a setting bounds the
    length of passwords.
    """
    attributes: dict[str, Any] = {}
    if isinstance(field, Password):
        attributes["minLength"] = get_core().settings.password_length_min
    if field.allow_none and None not in ret.get("enum", [None]):
        attributes["enum"] = [*ret["enum"], None]
    if "pattern" in ret:
        attributes["pattern"] = ret["pattern"].replace(r"\Z", "$")
    return attributes
