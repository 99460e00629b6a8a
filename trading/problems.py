"""Problems (RFC 9457) shared by the API and the push gateway, with Korean texts."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from string import Formatter
from typing import Any

MIMETYPE = "application/problem+json"
PAGE = "/docs/problems"


@dataclass(frozen=True, slots=True)
class ProblemText:
    """HTTP status, title and detail of a problem.

    `detail` needs no facts. `detail_with_facts` is a template over the problem's facts and replaces
    `detail` when all of them are present. Its format specifications are `won` (200,000원; a list
    becomes alternatives), `shares` (1,000주), `wait` (12초, 15분), `time` (11월 30일 오전 9시) and
    `names` (a list of names, "없음" if it is empty); other integers get thousands separators.

    `momentary` is True if the refusal depends on the moment, such as market hours, cash or load, so
    that the same request may succeed later. An Idempotency-Key keeps other refusals only.
    """

    status: int
    title: str
    detail: str
    detail_with_facts: str | None = None
    _: KW_ONLY
    momentary: bool

    def detail_for(self, facts: Mapping[str, Any]) -> str:
        """Return the detail, with the facts in the sentence if the problem carries them."""
        return fill_template(self.detail_with_facts, facts) or self.detail


SHARED_PROBLEMS: Mapping[str, ProblemText] = {
    "validation-failed": ProblemText(
        422, "입력값 오류", "입력한 내용을 다시 확인해 주세요.", momentary=False
    ),
    "malformed-request": ProblemText(
        400, "잘못된 요청", "요청 형식이 올바르지 않습니다.", momentary=False
    ),
    "unknown-query-parameter": ProblemText(
        422,
        "알 수 없는 조회 조건",
        "이 주소에서 지원하지 않는 조회 조건이 있습니다.",
        "지원하지 않는 조회 조건입니다: {parameters:names}. 사용할 수 있는 조건: {known:names}",
        momentary=False,
    ),
    "unauthorized": ProblemText(
        401,
        "인증 필요",
        "로그인이 필요하거나 로그인 정보가 올바르지 않습니다.",
        momentary=True,
    ),
    "forbidden": ProblemText(403, "권한 없음", "이 작업을 할 권한이 없습니다.", momentary=False),
    "not-found": ProblemText(
        404, "찾을 수 없음", "요청한 주소를 찾을 수 없습니다.", momentary=False
    ),
    "method-not-allowed": ProblemText(
        405,
        "지원하지 않는 메서드",
        "이 주소에서 지원하지 않는 HTTP 메서드입니다.",
        momentary=False,
    ),
    "payload-too-large": ProblemText(
        413, "요청 용량 초과", "요청 본문이 너무 큽니다.", momentary=False
    ),
    "request-too-slow": ProblemText(
        408,
        "요청 시간 초과",
        "요청을 제시간에 받지 못했습니다. 다시 시도해 주세요.",
        momentary=True,
    ),
    "rate-limited": ProblemText(
        429,
        "요청 한도 초과",
        "요청이 너무 많습니다. 잠시 후 다시 시도해 주세요.",
        "요청이 너무 많습니다. {retry_after_s:wait} 후에 다시 시도해 주세요.",
        momentary=True,
    ),
    "stream-limit-reached": ProblemText(
        429,
        "실시간 연결 수 초과",
        "한 번에 열 수 있는 실시간 연결 수를 초과했습니다. 사용하지 않는 연결을 닫아 주세요.",
        "실시간 연결은 한 번에 {limit}개까지 열 수 있습니다. 사용하지 않는 연결을 닫아 주세요.",
        momentary=True,
    ),
    "too-many-streams": ProblemText(
        503,
        "실시간 연결 폭주",
        "실시간 연결 요청이 많습니다. 잠시 후 다시 시도해 주세요.",
        momentary=True,
    ),
    "upstream-unavailable": ProblemText(
        503,
        "시세 서버 연결 불가",
        "시세 서버에 연결할 수 없습니다. 잠시 후 다시 시도해 주세요.",
        momentary=True,
    ),
    "internal-error": ProblemText(
        500,
        "서버 오류",
        "일시적인 오류가 발생했습니다. 잠시 후 다시 시도해 주세요.",
        momentary=True,
    ),
}

# Details of `validation-failed` by field and by the bound that the problem carries.
_BOUNDS: Mapping[tuple[str, str], str] = {
    ("quantity", "limit"): "한 번에 {limit:shares}까지 주문할 수 있습니다.",
    ("quantity", "minimum"): (
        "이미 체결된 수량 이하로 정정할 수 없습니다. {minimum:shares} 이상으로 입력하거나, 남은 "
        "수량이 필요 없으면 주문을 취소해 주세요."
    ),
    ("amount", "minimum"): "금액은 {minimum:won} 이상 {limit:won} 이하로 입력해 주세요.",
    ("amount", "limit"): "한 번에 {limit:won}까지 가능합니다.",
    ("stock_codes", "limit"): "종목은 {limit}개까지 선택할 수 있습니다.",
    ("order_name", "limit"): (
        "주문명은 영문 {limit}자(한글 13자)까지 쓸 수 있고, 이모지는 쓸 수 없습니다."
    ),
    ("lower_price", "limit"): "하한 알림 가격은 상한보다 낮은 {limit:won} 이하로 입력해 주세요.",
    ("Idempotency-Key", "limit"): (
        "Idempotency-Key는 공백 없이 영문, 숫자, 기호로 {limit}자까지 쓸 수 있습니다."
    ),
}


def problem_members(
    code: str, text: ProblemText, *, instance: str, request_id: str | None, **facts: Any
) -> dict[str, Any]:
    """Return the members of a problem's body; each fact is a member of its own."""
    detail = text.detail_for(facts)
    if code == "validation-failed":
        detail = _bound_detail(facts) or detail
    return {
        "type": f"{PAGE}#{code}",
        "title": text.title,
        "status": text.status,
        "detail": detail,
        "instance": instance,
        "code": code,
        "request_id": request_id,
        **facts,
    }


def fill_template(template: str | None, facts: Mapping[str, Any]) -> str | None:
    """Return the template with the facts filled in, or None if one of them is missing or null."""
    if template is None:
        return None
    names = {name for _text, name, _spec, _conversion in Formatter().parse(template) if name}
    if any(facts.get(name) is None for name in names):
        return None
    return _KoreanFormatter().vformat(template, (), facts)


def _bound_detail(facts: Mapping[str, Any]) -> str | None:
    for bound in ("minimum", "limit"):
        if facts.get(bound) is not None:
            return fill_template(_BOUNDS.get((str(facts.get("field")), bound)), facts)
    return None


class _KoreanFormatter(Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, list):
            separator = ", " if format_spec == "names" else " 또는 "
            return separator.join(self.format_field(item, format_spec) for item in value) or "없음"
        if format_spec == "won":
            return f"{value:,}원"
        if format_spec == "shares":
            return f"{value:,}주"
        if format_spec == "wait":
            return f"{value}초" if value < 120 else f"{-(-value // 60)}분"
        if format_spec == "time":
            return _korean_time(datetime.fromisoformat(value))
        return f"{value:,}" if isinstance(value, int) else str(value)


def _korean_time(at: datetime) -> str:
    half = "오전" if at.hour < 12 else "오후"
    minute = f" {at.minute}분" if at.minute else ""
    return f"{at.month}월 {at.day}일 {half} {at.hour % 12 or 12}시{minute}"
