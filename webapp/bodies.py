"""What a request's body must be before anything looks into it: JSON of a depth that every later reader can follow."""

from typing import Any

from flask import request
from werkzeug.exceptions import BadRequest

DEPTH_MAX = 32


def check_body() -> None:
    """Refuse a body that is no JSON (415, 400) or nested too deeply (400). A request without a body passes."""
    if not request.get_data(cache=True):
        return
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
