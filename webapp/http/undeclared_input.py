"""Refuse query parameters and bodies that a route does not declare.

If a misspelled filter were ignored, the answer would be unfiltered; if a body were ignored, its
members would seem to have had an effect. A route declares its input with `arguments` of its
blueprint. Pages outside the API's blueprints (health checks, metrics, documentation) take no input
and ignore what load balancers and scrapers add. So does PortOne's webhook, whose query we cannot
change.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, wraps
from typing import Any

from flask import current_app, request
from marshmallow import Schema

from trading.errors import UnexpectedBody
from trading.requests import refuse_unknown_parameters

_DECLARED = "declared_arguments"
# Clients often send an empty object with every request of these methods.
_MAY_SEND_EMPTY_OBJECT = frozenset({"POST", "PUT", "PATCH"})

View = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class DeclaredInput:
    """The query parameters that one method of a route reads, and whether it reads a body."""

    parameters: tuple[str, ...]
    has_body: bool


def declare(view: View, location: str, schema: type[Schema] | Schema) -> None:
    """Record that a view reads its arguments from a location (`query` or `json`) by a schema."""
    setattr(view, _DECLARED, {**getattr(view, _DECLARED, {}), location: schema})


def checked(view: View) -> View:
    """Return the view; it refuses undeclared input before it runs."""

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        _refuse_undeclared()
        return view(*args, **kwargs)

    return wrapper


@cache
def declared_input(view_class: type, method: str) -> DeclaredInput:
    """Return what a method (in lower case) of a view class declares."""
    arguments: Mapping[str, Any] = getattr(getattr(view_class, method, None), _DECLARED, {})
    query = arguments.get("query")
    schema = query() if isinstance(query, type) else query
    return DeclaredInput(
        parameters=()
        if schema is None
        else tuple(field.data_key or name for name, field in schema.load_fields.items()),
        has_body="json" in arguments,
    )


def declared_by_route() -> DeclaredInput:
    """Return what the route of this request declares."""
    view: Any = current_app.view_functions[request.endpoint or ""]
    method = "get" if request.method == "HEAD" else request.method.lower()
    return declared_input(view.view_class, method)


def _refuse_undeclared() -> None:
    declared = declared_by_route()
    refuse_unknown_parameters(request.args, known=declared.parameters)
    if not declared.has_body and request.get_data(cache=True) and not _is_empty_object():
        raise UnexpectedBody


def _is_empty_object() -> bool:
    return request.method in _MAY_SEND_EMPTY_OBJECT and request.get_data().strip() == b"{}"
