"""Periods of days in Korea that narrow lists and figures."""

from datetime import date, datetime, timedelta
from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from trading.exchange.calendar import FIRST_KNOWN_DAY, LAST_KNOWN_DAY
from webapp.http.fields import KoreanDay, StockCode

_ONE_DAY = timedelta(days=1)


class PeriodSchema(Schema):
    """Days in Korea, both included; a missing bound is open.

    Loads as the instants `since` (inclusive) and `until` (exclusive).
    """

    from_ = KoreanDay(
        data_key="from", attribute="since", load_default=None, metadata={"example": "2026-11-01"}
    )
    to = KoreanDay(
        end=True, attribute="until", load_default=None, metadata={"example": "2026-11-30"}
    )

    @validates_schema
    def _check_order(self, given: dict[str, Any], **_more: Any) -> None:
        since, until = given.get("since"), given.get("until")
        if since is not None and until is not None and until <= since:
            raise ValidationError("시작일과 같거나 이후인 날짜로 입력해 주세요.", "to")


class KnownDay(fields.Date):
    """A day in Korea, YYYY-MM-DD, within the known calendar."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            format="iso", validate=validate.Range(FIRST_KNOWN_DAY, LAST_KNOWN_DAY), **kwargs
        )


class KnownPeriodSchema(Schema):
    """Days within the known calendar, both included, at most `days_max`.

    The endpoint completes missing bounds.
    """

    days_max: ClassVar[int]

    from_ = KnownDay(data_key="from", attribute="first", load_default=None)
    to = KnownDay(attribute="last", load_default=None)

    @validates_schema
    def _check_order(self, given: dict[str, date | None], **_more: Any) -> None:
        first, last = given.get("first"), given.get("last")
        if first is None or last is None:
            return
        if last < first:
            raise ValidationError("시작일과 같거나 이후인 날짜로 입력해 주세요.", "to")
        if (last - first).days >= self.days_max:
            raise ValidationError(f"{self.days_max:,}일 이내의 기간으로 입력해 주세요.", "to")


class StockPeriodSchema(PeriodSchema):
    """A period, optionally of one stock."""

    stock_code = StockCode(load_default=None, metadata={"example": "A005930"})


def days_of(since: datetime | None, until: datetime | None) -> dict[str, date | None]:
    """Return the first and last day of a loaded period, for `from` and `to` of the response."""
    return {"from": since and since.date(), "to": until and (until - _ONE_DAY).date()}
