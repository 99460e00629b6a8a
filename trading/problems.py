"""The problems (RFC 9457) that more than one edge answers: their HTTP status and their words for the user, by stable code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MIMETYPE = "application/problem+json"
PAGE = "/docs/problems"


@dataclass(frozen=True, slots=True)
class ProblemText:
    """A problem's HTTP status, and its title and detail in Korean."""

    status: int
    title: str
    detail: str


SHARED_PROBLEMS: Mapping[str, ProblemText] = {
    "validation-failed": ProblemText(
        422,
        "입력값 오류",
        "입력값이 올바르지 않습니다. errors 또는 field와 limit, minimum을 확인해 주세요.",
    ),
    "malformed-request": ProblemText(400, "잘못된 요청", "요청 형식이 올바르지 않습니다."),
    "unauthorized": ProblemText(
        401, "인증 필요", "로그인이 필요하거나 인증 정보가 올바르지 않습니다."
    ),
    "forbidden": ProblemText(403, "권한 없음", "이 작업을 할 권한이 없습니다."),
    "not-found": ProblemText(404, "찾을 수 없음", "요청한 주소가 없습니다."),
    "method-not-allowed": ProblemText(
        405, "허용되지 않는 방식", "이 주소에서 지원하지 않는 요청 방식입니다."
    ),
    "payload-too-large": ProblemText(413, "요청이 너무 큼", "요청 본문이 너무 큽니다."),
    "request-too-slow": ProblemText(
        408, "요청이 너무 느림", "요청이 제때 도착하지 않았습니다. 다시 시도해 주세요."
    ),
    "rate-limited": ProblemText(
        429, "요청이 너무 많음", "요청이 너무 많습니다. retry_after_s초 뒤에 다시 시도해 주세요."
    ),
    "stream-limit-reached": ProblemText(
        429,
        "실시간 연결 수 초과",
        "한 사용자가 열 수 있는 실시간 연결 수를 넘었습니다. 사용하지 않는 연결을 닫아 주세요.",
    ),
    "too-many-streams": ProblemText(
        503,
        "실시간 연결이 가득 참",
        "실시간 연결이 가득 찼습니다. 잠시 후 다시 시도해 주세요.",
    ),
    "upstream-unavailable": ProblemText(
        503, "시세 서버 연결 불가", "시세 서버에 연결할 수 없습니다. 잠시 후 다시 시도해 주세요."
    ),
    "internal-error": ProblemText(500, "서버 오류", "예상하지 못한 오류가 발생했습니다."),
}


def problem_members(
    code: str, words: ProblemText, *, instance: str, request_id: str | None, **facts: Any
) -> dict[str, Any]:
    """The members of a problem's body, with typed facts as members of their own."""
    return {
        "type": f"{PAGE}#{code}",
        "title": words.title,
        "status": words.status,
        "detail": words.detail,
        "instance": instance,
        "code": code,
        "request_id": request_id,
        **facts,
    }
