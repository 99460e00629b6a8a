"""Failures as RFC 9457 problems. One table gives each stable code its HTTP status and its words for the user."""

from dataclasses import replace
from typing import Any

import structlog
from flask import Flask, Response, current_app, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from trading.accounts.password_policy import PasswordFault
from trading.db.transactions import DatabaseUnavailable
from trading.errors import DomainError
from trading.marketdata.quotes import MarketUnavailable
from trading.marketdata.relayer_client import AnswerCode
from trading.observability.metrics import instruments
from trading.problems import MIMETYPE, PAGE, SHARED_PROBLEMS, ProblemText, problem_members
from trading.redis.guarded_client import RedisUnavailable
from trading.stocks.toss.errors import TossError, TossFailed, TossHasNone, TossPaused, TossTooSlow

log = structlog.get_logger(__name__)


_TABLE: dict[str, ProblemText] = {
    **SHARED_PROBLEMS,
    "unsupported-media-type": ProblemText(415, "지원하지 않는 형식", "JSON 형식으로 보내 주세요."),
    "sign-in-locked": ProblemText(
        429,
        "로그인 일시 제한",
        "로그인에 여러 번 실패하여 잠시 로그인할 수 없습니다. retry_after_s초 뒤에 다시 시도해 주세요.",
    ),
    "email-taken": ProblemText(409, "이미 가입된 이메일", "이미 가입된 이메일 주소입니다."),
    "user-not-found": ProblemText(404, "사용자 없음", "사용자를 찾을 수 없습니다."),
    "stock-not-found": ProblemText(404, "종목 없음", "종목을 찾을 수 없습니다."),
    "stock-not-tradable": ProblemText(
        409, "거래할 수 없는 종목", "현재 거래할 수 없는 종목입니다."
    ),
    "no-live-price": ProblemText(
        503,
        "실시간 시세 없음",
        "실시간 시세가 없어 지금은 처리할 수 없습니다. 잠시 후 다시 시도해 주세요.",
    ),
    "market-closed": ProblemText(
        409,
        "장 운영 시간이 아님",
        "지금은 이 주문을 낼 수 있는 시간이 아닙니다. next_open 이후에 다시 시도해 주세요.",
    ),
    "trading-halted": ProblemText(
        503, "거래 중단", "관리자가 거래를 일시 중단했습니다. 잠시 후 다시 시도해 주세요."
    ),
    "invalid-tick-size": ProblemText(
        422,
        "호가 단위 오류",
        "주문 가격이 호가 단위에 맞지 않습니다. nearest_prices를 확인해 주세요.",
    ),
    "price-out-of-range": ProblemText(
        422,
        "가격 제한폭 초과",
        "주문 가격이 당일 가격 제한폭을 벗어났습니다. lower_limit과 upper_limit을 확인해 주세요.",
    ),
    "insufficient-cash": ProblemText(
        409, "주문 가능 금액 부족", "사용할 수 있는 현금이 부족합니다."
    ),
    "insufficient-quantity": ProblemText(
        409, "매도 가능 수량 부족", "매도할 수 있는 수량이 부족합니다."
    ),
    "account-overdrawn": ProblemText(
        409,
        "미수금 발생",
        "결제가 취소되어 이미 사용한 금액만큼 미수금(debt)이 있습니다. 입금하여 갚은 뒤 다시 시도해 주세요.",
    ),
    "account-halted": ProblemText(
        409,
        "거래가 중단된 계좌",
        "계좌 점검을 위해 이 계좌의 주문, 정정, 출금과 환불을 잠시 중단했습니다. 주문 취소와 조회는 할 수 있습니다.",
    ),
    "cash-limit-exceeded": ProblemText(409, "보유 한도 초과", "계좌의 현금 보유 한도를 넘습니다."),
    "order-not-found": ProblemText(404, "주문 없음", "주문을 찾을 수 없습니다."),
    "order-not-open": ProblemText(409, "종료된 주문", "이미 체결되었거나 종료된 주문입니다."),
    "order-not-amendable": ProblemText(
        409, "정정할 수 없는 주문", "대기 중인 지정가 주문만 정정할 수 있습니다."
    ),
    "client-order-id-taken": ProblemText(
        409, "중복된 주문 번호", "이미 사용한 client_order_id입니다."
    ),
    "payment-not-found": ProblemText(404, "결제 없음", "결제를 찾을 수 없습니다."),
    "payment-not-refundable": ProblemText(
        409,
        "환불할 수 없는 결제",
        "충전이 완료되었고 아직 모두 환불되지 않은 결제만 환불할 수 있습니다.",
    ),
    "refund-exceeds-payment": ProblemText(
        409,
        "환불 가능 금액 초과",
        "이 결제에서 환불할 수 있는 금액을 넘었습니다. refundable을 확인해 주세요.",
    ),
    "payment-service-unavailable": ProblemText(
        503,
        "결제 서비스 연결 불가",
        "결제 서비스가 응답하지 않습니다. 결제되지 않았으니 잠시 후 다시 시도해 주세요.",
    ),
    "payment-service-refused": ProblemText(
        502,
        "결제 서비스 오류",
        "결제 서비스가 요청을 거절했습니다. 결제되지 않았습니다. 문제가 계속되면 고객센터에 알려 주세요.",
    ),
    "payment-webhooks-off": ProblemText(
        503, "웹훅 수신 불가", "웹훅 시크릿이 설정되지 않아 받을 수 없습니다."
    ),
    "webhook-refused": ProblemText(
        400, "웹훅 거절", "포트원이 보낸 웹훅이 아닙니다. reason을 확인해 주세요."
    ),
    "transaction-not-found": ProblemText(404, "거래 내역 없음", "거래 내역을 찾을 수 없습니다."),
    "holding-not-found": ProblemText(404, "보유 종목 없음", "보유하고 있지 않은 종목입니다."),
    "watchlist-directory-not-found": ProblemText(
        404, "관심 종목 그룹 없음", "관심 종목 그룹을 찾을 수 없습니다."
    ),
    "watchlist-directory-not-empty": ProblemText(
        409,
        "비어 있지 않은 그룹",
        "그룹에 종목이 있습니다. 종목을 옮기거나, 함께 삭제하려면 force=true로 요청해 주세요.",
    ),
    "watchlist-name-taken": ProblemText(
        409, "이미 있는 그룹 이름", "같은 이름의 관심 종목 그룹이 이미 있습니다."
    ),
    "watchlist-default-stays": ProblemText(409, "기본 그룹", "기본 그룹은 삭제할 수 없습니다."),
    "watchlist-item-not-found": ProblemText(404, "관심 종목 없음", "관심 종목을 찾을 수 없습니다."),
    "watchlist-duplicate": ProblemText(
        409, "이미 등록된 종목", "이 그룹에 이미 등록된 종목입니다."
    ),
    "watchlist-limit-reached": ProblemText(
        409, "관심 종목 한도 초과", "등록할 수 있는 수를 넘었습니다. limit을 확인해 주세요."
    ),
    "watchlist-order-mismatch": ProblemText(
        409,
        "순서 목록 불일치",
        "그룹의 종목이 그사이 바뀌었습니다. 목록을 다시 조회해 모든 종목을 한 번씩 넣어 주세요.",
    ),
    "idempotency-key-conflict": ProblemText(
        422, "멱등 키 충돌", "같은 Idempotency-Key로 다른 내용의 요청이 이미 있었습니다."
    ),
    "request-in-progress": ProblemText(
        409, "처리 중인 요청", "같은 Idempotency-Key의 요청을 처리하고 있습니다."
    ),
    TossTooSlow.code: ProblemText(
        504,
        "시세 서버 응답 지연",
        "시세 서버가 제때 응답하지 않았습니다. 잠시 후 다시 시도해 주세요.",
    ),
    TossFailed.code: ProblemText(
        502,
        "시세 서버 오류",
        "시세 서버가 올바른 응답을 주지 않았습니다. 잠시 후 다시 시도해 주세요.",
    ),
    TossPaused.code: ProblemText(
        503,
        "시세 조회 일시 중단",
        "시세 서버 조회를 잠시 멈췄습니다. retry_after_s초 뒤에 다시 시도해 주세요.",
    ),
    TossHasNone.code: ProblemText(404, "시세 정보 없음", "시세 서버에 이 종목의 정보가 없습니다."),
    "relayer-unavailable": ProblemText(
        503, "시세 수신 이상", "실시간 시세 수신이 정상이 아닙니다."
    ),
    AnswerCode.BUDGET_EXCEEDED: ProblemText(
        409, "구독 한도 초과", AnswerCode.BUDGET_EXCEEDED.message
    ),
    AnswerCode.REFUSED: ProblemText(502, "구독 거절", AnswerCode.REFUSED.message),
    AnswerCode.UNCONFIRMED: ProblemText(504, "구독 미확인", AnswerCode.UNCONFIRMED.message),
    AnswerCode.WITHDRAWN: ProblemText(409, "구독 해제됨", AnswerCode.WITHDRAWN.message),
    AnswerCode.RECONNECT_FAILED: ProblemText(
        502, "재연결 실패", AnswerCode.RECONNECT_FAILED.message
    ),
    AnswerCode.BUSY: ProblemText(503, "명령이 너무 많음", AnswerCode.BUSY.message),
    "service-unavailable": ProblemText(
        503, "일시적인 장애", "지금은 처리할 수 없습니다. 잠시 후 다시 시도해 주세요."
    ),
    "gateway-timeout": ProblemText(
        504,
        "응답 지연",
        "서버가 제때 응답하지 않았습니다. 처리되었는지 확인한 뒤 다시 시도해 주세요.",
    ),
}

# A code's detail where its reason is one that a person can do something about.
_DETAILS_BY_REASON: dict[tuple[str, object], str] = {
    (
        "validation-failed",
        PasswordFault.TOO_SHORT,
    ): "비밀번호가 너무 짧습니다. minimum에 있는 글자 수 이상으로 정해 주세요.",
    (
        "validation-failed",
        PasswordFault.TOO_LONG,
    ): "비밀번호가 너무 깁니다. limit에 있는 글자 수까지 쓸 수 있습니다.",
    (
        "validation-failed",
        PasswordFault.TOO_COMMON,
    ): "너무 흔하거나 쉽게 추측할 수 있는 비밀번호입니다. 더 길거나 예상하기 어려운 것으로 정해 주세요.",
    (
        "validation-failed",
        PasswordFault.RESEMBLES_ACCOUNT,
    ): "비밀번호가 이메일, 이름 또는 서비스 이름과 비슷합니다. 다른 것으로 정해 주세요.",
}

_BY_HTTP_STATUS = {
    400: "malformed-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "payload-too-large",
    415: "unsupported-media-type",
    422: "validation-failed",
}

CODES = frozenset(_TABLE)


def status_of(code: str) -> int:
    """The HTTP status that a problem code is answered with."""
    return _TABLE[code].status


def problem(code: str, **facts: Any) -> Response:
    """The answer for a problem code, with typed facts as members of their own."""
    return problem_as(status_of(code), code, **facts)


def problem_as(status: int, code: str, **facts: Any) -> Response:
    """The same with another status than the code's usual one."""
    instruments.record(instruments.PROBLEMS, code)
    words = replace(_TABLE[code], status=status)
    detail = _DETAILS_BY_REASON.get((code, facts.get("reason")))
    if detail is not None:
        words = replace(words, detail=detail)
        # Where a form shows what is wrong with each of its fields.
        facts["errors"] = {"json": {facts["field"]: [detail]}}
    body = problem_members(
        code, words, instance=request.path, request_id=g.get("request_id"), **facts
    )
    # What a member repeats of the request may be half a character, which UTF-8 can't hold.
    text = current_app.json.dumps(body).encode("utf-8", "replace")
    response = Response(text, status=words.status, mimetype=MIMETYPE)
    if words.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    # A limit on connections doesn't pass by waiting, so that its 429 has no such fact.
    if words.status == 503 or (words.status == 429 and "retry_after_s" in facts):
        response.headers["Retry-After"] = str(facts.get("retry_after_s", 1))
    return response


def install(app: Flask) -> None:
    app.add_url_rule(PAGE, "problems", _page)
    app.register_error_handler(DomainError, domain_error_response)
    app.register_error_handler(TossError, _toss_has_no_answer)
    app.register_error_handler(MarketUnavailable, lambda _fault: problem("upstream-unavailable"))
    app.register_error_handler(DatabaseUnavailable, _database_unavailable)
    app.register_error_handler(RedisUnavailable, _uncounted)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


def domain_error_response(refusal: DomainError) -> Response:
    """The answer for an expected refusal, which is logged as one."""
    log.info(
        "request_refused",
        code=refusal.code,
        **{f"fact_{name}": value for name, value in refusal.facts.items()},
    )
    return problem(refusal.code, **refusal.facts)


def _toss_has_no_answer(fault: TossError) -> Response:
    log.info("market_data_unavailable", code=fault.code, reason=str(fault))
    return problem(
        fault.code,
        **({"retry_after_s": fault.retry_after_s} if isinstance(fault, TossPaused) else {}),
    )


def _database_unavailable(fault: DatabaseUnavailable) -> Response:
    log.error("database_unavailable", reason=type(fault).__name__)
    return problem("service-unavailable")


def _uncounted(fault: RedisUnavailable) -> Response:
    """What is only done while it can be counted is not done now."""
    log.warning("rate_limit_unavailable")
    return problem("service-unavailable", retry_after_s=fault.retry_after_s)


def _http(fault: HTTPException) -> Response:
    if fault.response is not None or (fault.code or 500) < 400:
        return fault.get_response()  # type: ignore[return-value]  # a redirect, or an answer made by whoever raised it
    code = _BY_HTTP_STATUS.get(
        fault.code or 500, "malformed-request" if (fault.code or 500) < 500 else "internal-error"
    )
    # webargs leaves what is wrong, by place and field, on the exception.
    errors = getattr(fault, "data", {}).get("messages")
    response = problem(code, **({"errors": errors} if errors else {}))
    if isinstance(fault, MethodNotAllowed) and fault.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(fault.valid_methods))
    return response


def _unexpected(fault: Exception) -> Response:
    log.error("request_failed", exc_info=fault)
    return problem("internal-error")


def _page() -> str:
    """What a problem's ``type`` points to: all codes with their status and words."""
    rows = "\n".join(
        f'<tr id="{code}"><td><code>{code}</code></td><td>{words.status}</td><td>{words.title}</td><td>{words.detail}</td></tr>'
        for code, words in sorted(_TABLE.items())
    )
    return (
        '<!doctype html><html lang="ko"><meta charset="utf-8"><title>StocKing problems</title>'
        "<h1>Problem codes</h1><table><tr><th>code</th><th>status</th><th>title</th><th>detail</th></tr>\n"
        f"{rows}</table></html>"
    )
