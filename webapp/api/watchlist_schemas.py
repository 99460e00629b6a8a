"""Schemas of watchlists."""

from typing import Any
from uuid import UUID

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates_schema

from trading.watchlists.alert_rules import AlertKind
from webapp.api.order_schemas import enum_metadata
from webapp.api.realtime import QuoteSchema
from webapp.http.fields import Flag, Line, StockCode, Text, Whole
from webapp.http.schemas import PageQuerySchema

_PRICE_MAX = 10**9
_POSITION_MAX = 10**6
# The most items that a directory may hold.
_ITEMS_MAX = 1_000

_STOCK = {"example": "A005930"}
_DIRECTORY_ID = {"example": "01932f0e-8a00-7c1d-9b1e-5a7d3c1f2e40"}
_ITEM_ID = {"example": "01932f0e-8b11-7d2e-8c2f-6b8e4d2a3f51"}
_NAME = {"example": "반도체"}
_MEMO = {"example": "실적 발표 전에 다시 보기"}
_TIME = {"example": "2026-11-20T01:00:00.123456+00:00"}


class DirectoryName(Line):
    """A directory's name of at most 50 characters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(high=50, metadata=_NAME, **kwargs)


class WatchlistCursor(fields.String):
    """Cursor of a list ordered by directory and item."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        parts = str(super()._deserialize(value, attr, data, **kwargs)).split("-")
        if len(parts) != 2 or not all(
            part.isascii() and part.isdigit() and len(part) <= 15 for part in parts
        ):
            raise ValidationError("커서가 올바르지 않습니다.")
        return tuple(map(int, parts))


class AlertPrice(Whole):
    """An alert price in won, not necessarily a multiple of the tick size; null for none."""

    def __init__(self, description: str, example: int | None) -> None:
        super().__init__(
            high=_PRICE_MAX,
            allow_none=True,
            metadata={"description": description, "example": example, "nullable": True},
        )


class AlertPricesSchema(Schema):
    """Alert prices. Those that are present load as `bounds`."""

    target_price = AlertPrice("가격이 위나 아래에서 이 값에 도달하면 알림", 72_000)
    upper_price = AlertPrice("이 가격 이상에서 알림", 75_000)
    lower_price = AlertPrice("이 가격 이하에서 알림", 65_000)

    @post_load
    def _gather_bounds(self, data: dict[str, Any], **_options: Any) -> dict[str, Any]:
        bounds = {kind: data.pop(kind) for kind in AlertKind if kind in data}
        return {**data, "bounds": bounds} if bounds else data


class WatchlistDirectoryRequestSchema(Schema):
    name = DirectoryName(required=True)


class WatchlistDirectoryChangeSchema(Schema):
    """Changes to a directory; omitted members stay as they are."""

    name = DirectoryName()
    position = Whole(
        low=0,
        high=_POSITION_MAX,
        metadata={"description": "그룹의 새 순서 (0이면 맨 앞)", "example": 0},
    )

    @validates_schema
    def _require_change(self, data: dict[str, Any], **_options: Any) -> None:
        if not data:
            raise ValidationError("변경할 이름이나 위치를 입력해 주세요.")


class DirectoryRemovalQuerySchema(Schema):
    force = fields.Boolean(
        load_default=False,
        metadata={"description": "그룹의 종목과 알림도 함께 삭제할지 여부", "example": False},
    )


class WatchlistDirectorySchema(Schema):
    id = fields.UUID(required=True, metadata=_DIRECTORY_ID)
    name = fields.String(required=True, metadata=_NAME)
    is_default = fields.Boolean(
        required=True,
        metadata={"description": "삭제할 수 없는 기본 그룹인지 여부", "example": False},
    )
    position = fields.Integer(
        required=True,
        metadata={"description": "그룹의 순서 (0부터)", "example": 1},
    )
    item_count = fields.Integer(required=True, metadata={"example": 3})
    created_at = fields.AwareDateTime(required=True, metadata=_TIME)


class WatchlistItemRequestSchema(AlertPricesSchema):
    """A stock to watch; the default directory if none is given."""

    stock_code = StockCode(required=True, metadata=_STOCK)
    directory_id = fields.UUID(metadata=_DIRECTORY_ID)
    memo = Text(high=500, allow_none=True, metadata=_MEMO)


class WatchlistItemChangeSchema(AlertPricesSchema):
    """Changes to an item: omitted members stay, null removes a memo or a price, a new price is
    armed.
    """

    directory_id = fields.UUID(metadata={**_DIRECTORY_ID, "description": "옮길 그룹"})
    memo = Text(high=500, allow_none=True, metadata=_MEMO)
    rearm = Flag(metadata={"description": "true이면 울린 알림을 다시 켬", "example": True})

    @validates_schema
    def _require_change(self, data: dict[str, Any], **_options: Any) -> None:
        if not data:
            raise ValidationError("변경할 내용을 하나 이상 입력해 주세요.")


class PriceAlertSchema(Schema):
    """A price alert. It fires once until it is armed again; the tick is the one that fired it."""

    kind = fields.String(
        required=True, metadata={**enum_metadata(AlertKind), "example": "target_price"}
    )
    bound = fields.Integer(
        required=True, metadata={"description": "알림 가격 (원)", "example": 72_000}
    )
    state = fields.String(required=True, metadata={"enum": ["ARMED", "FIRED"], "example": "ARMED"})
    distance_bp = fields.Integer(
        allow_none=True,
        metadata={
            "description": "최근 체결가와 알림 가격의 차이 (bp). 가격을 알 수 없으면 null",
            "example": 285,
        },
    )
    armed_at = fields.AwareDateTime(required=True, metadata=_TIME)
    fired_at = fields.AwareDateTime(allow_none=True, metadata={"example": None})
    tick_price = fields.Integer(allow_none=True, metadata={"example": None})
    tick_traded_at = fields.AwareDateTime(allow_none=True, metadata={"example": None})
    tick_position = fields.String(allow_none=True, metadata={"example": None})


class WatchlistItemSchema(Schema):
    id = fields.UUID(required=True, metadata=_ITEM_ID)
    directory_id = fields.UUID(required=True, metadata=_DIRECTORY_ID)
    stock_code = fields.String(required=True, metadata=_STOCK)
    stock_name = fields.String(required=True, metadata={"example": "삼성전자"})
    market = fields.String(required=True, metadata={"example": "KOSPI"})
    memo = fields.String(allow_none=True, metadata=_MEMO)
    target_price = fields.Integer(allow_none=True, metadata={"example": 72_000})
    upper_price = fields.Integer(allow_none=True, metadata={"example": None})
    lower_price = fields.Integer(allow_none=True, metadata={"example": None})
    alerts = fields.List(fields.Nested(PriceAlertSchema), required=True)
    quote = fields.Nested(
        QuoteSchema,
        allow_none=True,
        metadata={"description": "최근 체결가나 종가. 한 번도 거래되지 않았으면 null"},
    )
    created_at = fields.AwareDateTime(required=True, metadata=_TIME)


class WatchlistItemListQuerySchema(PageQuerySchema):
    """Loads as the keyword arguments of the items query."""

    directory_id = fields.UUID(load_default=None, metadata=_DIRECTORY_ID)
    cursor = WatchlistCursor(attribute="after", load_default=None, metadata={"example": "0-19"})


class WatchlistOrderSchema(Schema):
    """All items of a directory in their new order."""

    directory_id = fields.UUID(required=True, metadata=_DIRECTORY_ID)
    item_ids = fields.List(
        fields.UUID(),
        required=True,
        validate=validate.Length(max=_ITEMS_MAX, error="종목은 {max}개까지 지정할 수 있습니다."),
        metadata={"example": [_ITEM_ID["example"]]},
    )

    @validates_schema
    def _require_unique(self, data: dict[str, Any], **_options: Any) -> None:
        ids: list[UUID] = data["item_ids"]
        if len(set(ids)) != len(ids):
            raise ValidationError("같은 종목이 두 번 포함되어 있습니다.", "item_ids")
