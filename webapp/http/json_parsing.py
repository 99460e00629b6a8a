"""Strict JSON parsing: request bodies must have exactly one meaning and limited depth.

Two readers of a body, such as a proxy and the API, must not interpret it differently. Duplicate
members and NaN or Infinity are refused, and the text is UTF-8 whatever the header declares.
"""

import json
from typing import Any

from flask import Request, request
from flask.json.provider import DefaultJSONProvider
from marshmallow import Schema, ValidationError, fields
from webargs.core import missing
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from webapp.http.undeclared_input import declared_by_route

DEPTH_MAX = 32
MEDIA_TYPE = "application/json"

_ENCODINGS = ("", "identity")
_CHARSETS = ("", "utf-8", "utf8")


class UnambiguousJson(DefaultJSONProvider):
    """Flask JSON provider that accepts only interoperable JSON (RFC 8259)."""

    sort_keys = False
    ensure_ascii = False

    def loads(self, s: str | bytes, **_kwargs: Any) -> Any:
        """Parse JSON. Raises ValueError for anything ambiguous."""
        text = s.decode() if isinstance(s, bytes) else s
        return json.loads(text, object_pairs_hook=_unique_members, parse_constant=_reject_constant)


class Arguments(FlaskParser):
    """Argument parser that reads checked JSON and refuses repeated query parameters."""

    def load_json(self, req: Request, _schema: Schema) -> Any:
        return req.get_json() if req.get_data() else missing

    def load_querystring(self, req: Request, schema: Schema) -> Any:
        repeated = {
            name: ["한 번만 지정할 수 있습니다."]
            for name, field in schema.fields.items()
            if not isinstance(field, fields.List)
            and len(req.args.getlist(field.data_key or name)) > 1
        }
        if repeated:
            raise ValidationError(repeated)
        return super().load_querystring(req, schema)


def check_body() -> None:
    """Refuse a body that is not JSON (415, 400) or is nested too deeply (400).

    A request without a body passes, and so does one whose route declares none: its view refuses
    any body (see `webapp.http.undeclared_input`).
    """
    if not request.get_data(cache=True) or not declared_by_route().has_body:
        return
    if (
        request.mimetype != MEDIA_TYPE
        or request.mimetype_params.get("charset", "").lower() not in _CHARSETS
        or request.headers.get("Content-Encoding", "").strip().lower() not in _ENCODINGS
    ):
        raise UnsupportedMediaType
    try:
        content = request.get_json()
    except RecursionError:
        raise BadRequest from None
    # Explicit limit: the depth that parsers can handle depends on the current call stack.
    level = [content]
    for _depth in range(DEPTH_MAX):
        level = [child for value in level for child in _children(value)]
        if not level:
            return
    raise BadRequest


def _children(value: object) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _unique_members(members: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(members)
    if len(content) < len(members):
        raise ValueError("duplicate member")
    return content


def _reject_constant(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
