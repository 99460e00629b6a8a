"""What a request must be before anything looks into it: JSON that has one meaning, of a depth that every later reader can follow.

Two readers of one body must never see two things in it: a proxy or a log, say, and we. So a member stands once, nothing is a number that JSON
knows none for, and the text is UTF-8 whatever its head says of it.
"""

import json
from typing import Any

from flask import Request, request
from flask.json.provider import DefaultJSONProvider
from marshmallow import Schema, ValidationError, fields
from webargs.core import missing
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

DEPTH_MAX = 32
MEDIA_TYPE = "application/json"

_ENCODINGS = ("", "identity")
_CHARSETS = ("", "utf-8", "utf8")


class UnambiguousJson(DefaultJSONProvider):
    """Flask's JSON, which reads nothing but what RFC 8259 calls interoperable."""

    sort_keys = False
    ensure_ascii = False

    def loads(self, s: str | bytes, **_kwargs: Any) -> Any:
        """ValueError for whatever can be read in more than one way."""
        text = s.decode() if isinstance(s, bytes) else s
        return json.loads(text, object_pairs_hook=_object, parse_constant=_refuse)


class Arguments(FlaskParser):
    """Reads arguments from the JSON that was checked, and none from a query that says a thing twice."""

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
    """Refuse a body that is no JSON (415, 400) or nested too deeply (400). A request without a body passes; where a body means nothing it is read by nobody."""
    if not request.get_data(cache=True):
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
    # A bound of our own: how deep the parsers can go depends on how deep they are called.
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


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise ValueError("a member stands twice")
    return found


def _refuse(constant: str) -> None:
    raise ValueError(f"JSON knows no {constant}")
