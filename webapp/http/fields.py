"""Input fields with bounds; every accepted value can be stored as it is."""

from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from marshmallow import ValidationError, fields, validate

from trading.accounts.passwords import LENGTH_MAX
from trading.exchange.time import KST
from trading.marketdata.stock_codes import product_code
from trading.text import RefusedCharacter, clean_text
from webapp.context import get_core

_WHOLE_MAX = 10**15


class WholeRange(validate.Validator):
    """Bounds of an integer; each is a number or the name of a setting.

    Values up to `accepted_up_to` pass although they exceed the upper bound, because the use case
    checks them.
    """

    def __init__(self, low: int | str, high: int | str, accepted_up_to: int = 0) -> None:
        self._low, self._high, self._accepted_up_to = low, high, accepted_up_to

    @property
    def min(self) -> int:
        return _bound(self._low)

    @property
    def max(self) -> int:
        return _bound(self._high)

    def __call__(self, value: int) -> int:
        low, high = self.min, self.max
        if not low <= value <= max(high, self._accepted_up_to):
            raise ValidationError(f"{low:,} 이상 {high:,} 이하로 입력해 주세요.")
        return value


def _bound(bound: int | str) -> int:
    if isinstance(bound, int):
        return bound
    setting: int = getattr(get_core().settings, bound)
    return setting


class Whole(fields.Integer):
    """A JSON integer from `low` to `high`; strings, booleans and 1.0 are refused.

    See `WholeRange` for the bounds.
    """

    def __init__(
        self,
        *,
        low: int | str = 1,
        high: int | str = _WHOLE_MAX,
        accepted_up_to: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(strict=True, validate=WholeRange(low, high, accepted_up_to), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.make_error("invalid")
        return int(super()._deserialize(value, attr, data, **kwargs) or 0)


class Flag(fields.Boolean):
    """A JSON boolean; strings and numbers are refused."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return super()._deserialize(value, attr, data, **kwargs)


class _LengthOfText(validate.Length):
    """Bounds of a text's length; an absent text passes."""

    def __call__(self, value: Any) -> Any:
        return value if value is None else super().__call__(value)


class _FreeText(fields.String):
    """Text that people type, at most `high` characters long (see `clean_text`).

    The length is counted after cleaning.
    """

    multiline: bool

    def __init__(self, *, high: int, **kwargs: Any) -> None:
        super().__init__(validate=_LengthOfText(max=high), **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        typed = str(super()._deserialize(value, attr, data, **kwargs))
        try:
            text = clean_text(typed, multiline=self.multiline)
        except RefusedCharacter as refused:
            raise ValidationError(_refusal(refused)) from None
        return text or self._absent()

    def _absent(self) -> Any:
        raise ValidationError("내용을 입력해 주세요.")


class Line(_FreeText):
    """One line of text, such as a name. A blank one is refused."""

    multiline = False


class Text(_FreeText):
    """Text of several lines, such as a memo. A blank one counts as absent."""

    multiline = True

    def _absent(self) -> Any:
        if self.required:
            return super()._absent()
        return None if self.allow_none else self.load_default


def _refusal(refused: RefusedCharacter) -> str:
    if refused.is_break:
        return f"한 줄로 입력해 주세요. {refused.position}번째 문자가 줄바꿈이나 탭입니다."
    code = f"U+{ord(refused.character):04X}"
    return f"{refused.position}번째 문자({code})는 사용할 수 없는 제어 문자입니다."


class Password(fields.String):
    """A new password of any characters that UTF-8 can encode. Never stored, logged or returned.

    Whether the account may use it, also by its length, is checked by
    `webapp.http.password_messages`.
    """

    def __init__(self, *, example: str, **kwargs: Any) -> None:
        super().__init__(
            load_only=True,
            metadata={
                "example": example,
                "maxLength": LENGTH_MAX,
                "description": "흔한 비밀번호나 계정 정보와 비슷한 비밀번호는 사용할 수 없음",
            },
            **kwargs,
        )

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text = str(super()._deserialize(value, attr, data, **kwargs))
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValidationError("사용할 수 없는 문자가 있습니다.") from None
        return text


class EmailAddress(fields.Email):
    """An e-mail address of printable ASCII, at most 254 characters (RFC 5321)."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            validate=[validate.Length(max=254), validate.Regexp(r"^[\x21-\x7e]+\Z")], **kwargs
        )


class StockCode(fields.String):
    """A product code with or without the leading A; loads with it."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        code = product_code(str(super()._deserialize(value, attr, data, **kwargs)))
        if code is None:
            raise ValidationError("종목 코드를 A005930 또는 005930 형식으로 입력해 주세요.")
        return code


class KoreanDay(fields.Date):
    """A calendar day in Korea, YYYY-MM-DD.

    Loads as the instant at which the day begins, or with `end` as the instant at which it is over.
    """

    def __init__(self, *, end: bool = False, **kwargs: Any) -> None:
        super().__init__(format="iso", **kwargs)
        self._end = end

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        day: date = super()._deserialize(value, attr, data, **kwargs)
        if not 1990 <= day.year <= 2200:
            raise self.make_error("invalid", input=value, obj_type="date")
        return datetime.combine(day + timedelta(days=1 if self._end else 0), time(), KST)


class InstantField(fields.AwareDateTime):
    """An RFC 3339 instant with offset, from 1990 to 2200.

    A space is read as "+", because URL decoding turns an unescaped plus sign into a space.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(format="iso", **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = value.replace(" ", "+") if isinstance(value, str) and "T" in value else value
        at: datetime = super()._deserialize(text, attr, data, **kwargs)
        if not 1990 <= at.year <= 2200:
            raise self.make_error("invalid", input=value, obj_type="datetime")
        return at


class IdCursor(fields.String):
    """Cursor of a list ordered by id."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            return UUID(hex=str(super()._deserialize(value, attr, data, **kwargs)))
        except ValueError:
            raise ValidationError("커서가 올바르지 않습니다.") from None


class SequenceCursor(fields.String):
    """Cursor of a list ordered by a sequence number."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        text = str(super()._deserialize(value, attr, data, **kwargs))
        if not (text.isascii() and text.isdigit() and len(text) <= 15):
            raise ValidationError("커서가 올바르지 않습니다.")
        return int(text)
