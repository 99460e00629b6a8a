"""Schemas shared by all responses: success envelope, pages and problems."""

from functools import cache
from typing import Any

from marshmallow import INCLUDE, Schema, fields, validate

from trading.pagination import LIMIT_MAX
from webapp.http.validation_messages import install_korean_messages

install_korean_messages()


class ProblemSchema(Schema):
    """An RFC 9457 problem. `code` is stable; further members are facts of the code."""

    class Meta:
        unknown = INCLUDE

    type = fields.String(required=True, metadata={"example": "/docs/problems#insufficient-cash"})
    title = fields.String(required=True, metadata={"example": "예수금 부족"})
    status = fields.Integer(required=True, metadata={"example": 409})
    detail = fields.String(
        required=True,
        metadata={
            "example": "예수금이 부족합니다. 700,105원이 필요하지만 500,000원만 사용할 수 있습니다."
        },
    )
    instance = fields.String(required=True, metadata={"example": "/api/v1/trading/orders"})
    code = fields.String(required=True, metadata={"example": "insufficient-cash"})
    request_id = fields.String(metadata={"example": "01a20503427f77fabab6c93973e5cbb0"})
    errors = fields.Dict(
        metadata={
            "description": "validation-failed일 때 위치와 항목별 오류 메시지",
            "example": {"json": {"quantity": ["1 이상으로 입력해 주세요."]}},
        }
    )


class TaskResultSchema(Schema):
    """A response with a message and no data."""

    success = fields.Boolean(required=True)
    message = fields.String(required=True, metadata={"example": "조회했습니다."})
    data = fields.Raw(allow_none=True)


class PageQuerySchema(Schema):
    limit = fields.Integer(load_default=20, validate=validate.Range(min=1, max=LIMIT_MAX))


def component_name(schema: type[Schema]) -> str:
    """Return the schema's name in the OpenAPI document: the class name without `Schema`."""
    return schema.__name__.removesuffix("Schema")


@cache
def envelope(item: type[Schema]) -> type[Schema]:
    """Return the schema of `{"success": true, "message": …, "data": item}`."""
    return _named(f"{component_name(item)}Answer", fields.Nested(item, required=True))


@cache
def page(item: type[Schema], *, counted: bool = False) -> type[Schema]:
    """Return the envelope schema of a list: `data.items` and `data.next_cursor`.

    A counted list also has `data.total`.
    """
    total = fields.Integer(
        allow_none=True,
        metadata={
            "description": ("조건에 맞는 전체 건수. 1,000건이 넘으면 세지 않고 null로 응답합니다."),
            "example": 42,
        },
    )
    shape = Schema.from_dict(
        {
            "items": fields.List(fields.Nested(item), required=True),
            "next_cursor": fields.String(allow_none=True, metadata={"example": "41"}),
            **({"total": total} if counted else {}),
        },
        name=f"{component_name(item)}Page",
    )
    return _named(f"{component_name(item)}PageAnswer", fields.Nested(shape, required=True))


def _named(name: str, data: fields.Field[Any]) -> type[Schema]:
    return Schema.from_dict(
        {
            "success": fields.Boolean(required=True),
            "message": fields.String(required=True, metadata={"example": "조회했습니다."}),
            "data": data,
        },
        name=name,
    )


def success(data: object, message: str = "조회했습니다.") -> dict[str, object]:
    return {"success": True, "message": message, "data": data}
