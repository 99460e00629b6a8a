"""Error responses as RFC 9457 problems: one table with HTTP status and Korean text by code."""

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
from trading.problems import (
    MIMETYPE,
    PAGE,
    SHARED_PROBLEMS,
    ProblemText,
    fill_template,
    problem_members,
)
from trading.redis.guarded_client import RedisUnavailable
from trading.stocks.toss.errors import TossError, TossFailed, TossNoData, TossPaused, TossTimeout

log = structlog.get_logger(__name__)


_TABLE: dict[str, ProblemText] = {
    **SHARED_PROBLEMS,
    "unsupported-media-type": ProblemText(
        415,
        "지원하지 않는 형식",
        "요청 본문을 JSON 형식으로 보내 주세요.",
        momentary=False,
    ),
    "unexpected-body": ProblemText(
        422,
        "본문을 받지 않는 요청",
        "이 요청은 본문을 받지 않습니다. 본문 없이 다시 보내 주세요.",
        momentary=False,
    ),
    "sign-in-locked": ProblemText(
        429,
        "로그인 일시 제한",
        "로그인에 여러 번 실패하여 잠시 로그인할 수 없습니다. 나중에 다시 시도해 주세요.",
        "로그인에 여러 번 실패했습니다. {retry_after_s:wait} 후에 다시 시도해 주세요.",
        momentary=True,
    ),
    "email-taken": ProblemText(
        409, "이미 가입된 이메일", "이미 가입된 이메일 주소입니다.", momentary=False
    ),
    "wrong-password": ProblemText(
        403, "비밀번호 불일치", "비밀번호가 올바르지 않습니다.", momentary=True
    ),
    "user-not-found": ProblemText(
        404, "사용자 없음", "사용자를 찾을 수 없습니다.", momentary=False
    ),
    "stock-not-found": ProblemText(404, "종목 없음", "종목을 찾을 수 없습니다.", momentary=False),
    "stock-not-tradable": ProblemText(
        409,
        "거래할 수 없는 종목",
        "지금은 거래할 수 없는 종목입니다.",
        momentary=True,
    ),
    "stock-not-delisted": ProblemText(
        409,
        "상장 폐지되지 않은 종목",
        "상장 폐지된 종목만 상각할 수 있습니다.",
        "{stock_name} 종목은 상장 폐지되지 않아 상각할 수 없습니다.",
        momentary=True,
    ),
    "no-live-price": ProblemText(
        503,
        "실시간 시세 없음",
        "실시간 시세를 받지 못해 처리할 수 없습니다. 잠시 후 다시 시도해 주세요.",
        "아직 시세가 없는 종목이라 처리할 수 없습니다. 시세 수신을 요청했으니 "
        "{retry_after_s:wait} 후에 다시 시도해 주세요.",
        momentary=True,
    ),
    "market-closed": ProblemText(
        409,
        "주문 가능 시간 아님",
        "지금은 주문할 수 없는 시간입니다.",
        "지금은 주문할 수 없는 시간입니다. {next_open:time}부터 주문할 수 있습니다.",
        momentary=True,
    ),
    "trading-halted": ProblemText(
        503,
        "거래 중단",
        "점검을 위해 거래를 잠시 중단했습니다. 잠시 후 다시 시도해 주세요.",
        momentary=True,
    ),
    "invalid-tick-size": ProblemText(
        422,
        "호가 단위 오류",
        "호가 단위에 맞지 않는 가격입니다.",
        "호가 단위({tick_size:won})에 맞지 않는 가격입니다. "
        "{nearest_prices:won}으로 주문해 주세요.",
        momentary=False,
    ),
    "price-out-of-range": ProblemText(
        422,
        "가격 제한폭 초과",
        "오늘의 상한가와 하한가를 벗어난 가격입니다.",
        "오늘 주문할 수 있는 가격은 {lower_limit:won}~{upper_limit:won}입니다.",
        momentary=True,
    ),
    "insufficient-cash": ProblemText(
        409,
        "예수금 부족",
        "예수금이 부족합니다.",
        "예수금이 부족합니다. {needed:won}이 필요하지만 {available:won}만 사용할 수 있습니다.",
        momentary=True,
    ),
    "insufficient-quantity": ProblemText(
        409,
        "매도 가능 수량 부족",
        "매도할 수 있는 수량이 부족합니다.",
        "매도할 수 있는 수량이 부족합니다. "
        "보유 수량은 {held:shares}, 매도 주문 중인 수량은 {reserved:shares}입니다.",
        momentary=True,
    ),
    "account-overdrawn": ProblemText(
        409,
        "미수금 발생",
        (
            "취소된 결제 금액을 이미 사용하여 미수금이 있습니다. 입금하거나 보유 종목을 매도하여 "
            "미수금을 갚은 뒤 다시 시도해 주세요."
        ),
        "취소된 결제 금액을 이미 사용하여 미수금 {debt:won}이 있습니다. "
        "입금하거나 보유 종목을 매도하여 미수금을 갚은 뒤 다시 시도해 주세요.",
        momentary=True,
    ),
    "account-halted": ProblemText(
        409,
        "거래가 중단된 계좌",
        "계좌 점검을 위해 주문, 정정, 출금, 환불을 잠시 중단했습니다. "
        "주문 취소, 수량만 줄이는 정정, 조회는 이용할 수 있습니다.",
        momentary=True,
    ),
    "cash-limit-exceeded": ProblemText(
        409,
        "보유 한도 초과",
        "계좌에 보유할 수 있는 현금 한도를 초과합니다.",
        "계좌에 보유할 수 있는 현금 한도({limit:won})를 초과합니다.",
        momentary=True,
    ),
    "order-not-found": ProblemText(404, "주문 없음", "주문을 찾을 수 없습니다.", momentary=False),
    "order-not-open": ProblemText(
        409, "종료된 주문", "이미 체결되었거나 종료된 주문입니다.", momentary=False
    ),
    "order-not-amendable": ProblemText(
        409,
        "정정할 수 없는 주문",
        "대기 중인 지정가 주문만 정정할 수 있으며, 시장가 주문은 수량만 줄일 수 있습니다.",
        momentary=False,
    ),
    "client-order-id-taken": ProblemText(
        409,
        "중복된 주문 번호",
        "이미 사용한 클라이언트 주문 번호입니다.",
        "이미 주문 {order_id}에 사용한 클라이언트 주문 번호입니다.",
        momentary=False,
    ),
    "payment-not-found": ProblemText(404, "결제 없음", "결제를 찾을 수 없습니다.", momentary=False),
    "payment-not-refundable": ProblemText(
        409,
        "환불할 수 없는 결제",
        "충전이 완료되었고 환불할 금액이 남아 있는 결제만 환불할 수 있습니다.",
        momentary=True,
    ),
    "refund-needs-bank-account": ProblemText(
        409,
        "환불받을 계좌가 필요한 결제",
        "가상계좌처럼 환불받을 계좌가 필요한 결제는 여기서 환불할 수 없습니다. 고객센터에 문의해 "
        "주세요.",
        momentary=False,
    ),
    "refund-exceeds-payment": ProblemText(
        409,
        "환불 가능 금액 초과",
        "환불할 수 있는 금액을 초과했습니다.",
        "이 결제에서 환불할 수 있는 금액은 {refundable:won}입니다.",
        momentary=True,
    ),
    "payment-under-way": ProblemText(
        409,
        "진행 중인 결제",
        "진행 중인 결제나 환불이 있어 탈퇴할 수 없습니다. 끝난 뒤에 다시 시도해 주세요.",
        momentary=True,
    ),
    "refunds-forfeited": ProblemText(
        409,
        "환불할 수 있는 결제",
        "탈퇴하면 결제한 금액을 환불받을 수 없습니다. 먼저 환불받거나, 환불을 포기하는 데 동의해 "
        "주세요.",
        "탈퇴하면 결제한 금액 {refundable:won}을 환불받을 수 없습니다. 먼저 환불받거나, 환불을 "
        "포기하는 데 동의해 주세요.",
        momentary=True,
    ),
    "payment-service-unavailable": ProblemText(
        503,
        "결제 서비스 연결 불가",
        "결제 서비스에 연결할 수 없습니다. 결제되지 않았으니 잠시 후 다시 시도해 주세요.",
        momentary=True,
    ),
    "payment-service-refused": ProblemText(
        502,
        "결제 서비스 오류",
        (
            "결제 서비스에서 요청을 거절하여 결제되지 않았습니다. 문제가 계속되면 고객센터에 "
            "문의해 주세요."
        ),
        momentary=True,
    ),
    "payment-webhooks-off": ProblemText(
        503,
        "웹훅 수신 불가",
        "웹훅 시크릿이 설정되지 않아 웹훅을 받을 수 없습니다.",
        momentary=True,
    ),
    "webhook-refused": ProblemText(
        400,
        "웹훅 검증 실패",
        "포트원이 보낸 웹훅인지 확인할 수 없습니다.",
        momentary=False,
    ),
    "transaction-not-found": ProblemText(
        404, "거래 내역 없음", "거래 내역을 찾을 수 없습니다.", momentary=False
    ),
    "holding-not-found": ProblemText(
        404, "보유 종목 없음", "보유하고 있지 않은 종목입니다.", momentary=False
    ),
    "watchlist-directory-not-found": ProblemText(
        404,
        "관심 종목 그룹 없음",
        "관심 종목 그룹을 찾을 수 없습니다.",
        momentary=False,
    ),
    "watchlist-directory-not-empty": ProblemText(
        409,
        "비어 있지 않은 그룹",
        "그룹에 종목이 있어 삭제할 수 없습니다. 종목을 옮기거나 함께 삭제해 주세요.",
        "그룹에 종목이 {item_count}개 있어 삭제할 수 없습니다. 종목을 옮기거나 함께 삭제해 주세요.",
        momentary=True,
    ),
    "watchlist-name-taken": ProblemText(
        409,
        "중복된 그룹 이름",
        "같은 이름의 관심 종목 그룹이 이미 있습니다.",
        momentary=False,
    ),
    "watchlist-default-stays": ProblemText(
        409, "기본 그룹", "기본 그룹은 삭제할 수 없습니다.", momentary=False
    ),
    "watchlist-item-not-found": ProblemText(
        404, "관심 종목 없음", "관심 종목을 찾을 수 없습니다.", momentary=False
    ),
    "watchlist-duplicate": ProblemText(
        409,
        "이미 등록된 종목",
        "이 그룹에 이미 등록된 종목입니다.",
        momentary=False,
    ),
    "watchlist-limit-reached": ProblemText(
        409,
        "관심 종목 한도 초과",
        "등록할 수 있는 개수를 초과했습니다.",
        "{limit}개까지 등록할 수 있습니다.",
        momentary=True,
    ),
    "watchlist-order-mismatch": ProblemText(
        409,
        "순서 목록 불일치",
        "그룹의 종목이 변경되었습니다. 목록을 다시 조회한 뒤 순서를 변경해 주세요.",
        momentary=True,
    ),
    "idempotency-key-conflict": ProblemText(
        422,
        "멱등 키 충돌",
        "이미 다른 내용의 요청에 사용한 Idempotency-Key입니다.",
        momentary=False,
    ),
    "request-in-progress": ProblemText(
        409,
        "처리 중인 요청",
        "같은 Idempotency-Key로 보낸 요청을 처리하고 있습니다.",
        momentary=True,
    ),
    TossTimeout.code: ProblemText(
        504,
        "시세 서버 응답 지연",
        "시세 서버의 응답이 늦어지고 있습니다. 잠시 후 다시 시도해 주세요.",
        momentary=True,
    ),
    TossFailed.code: ProblemText(
        502,
        "시세 서버 오류",
        "시세 서버에서 올바른 응답을 받지 못했습니다. 잠시 후 다시 시도해 주세요.",
        momentary=True,
    ),
    TossPaused.code: ProblemText(
        503,
        "시세 조회 일시 중단",
        "시세 조회를 잠시 중단했습니다. 나중에 다시 시도해 주세요.",
        "시세 조회를 잠시 중단했습니다. {retry_after_s:wait} 후에 다시 시도해 주세요.",
        momentary=True,
    ),
    TossNoData.code: ProblemText(
        404, "시세 정보 없음", "시세 서버에 이 종목의 정보가 없습니다.", momentary=False
    ),
    "relayer-unavailable": ProblemText(
        503,
        "시세 수신 이상",
        "실시간 시세를 정상적으로 받지 못하고 있습니다.",
        momentary=True,
    ),
    AnswerCode.BUDGET_EXCEEDED: ProblemText(
        409,
        "구독 한도 초과",
        AnswerCode.BUDGET_EXCEEDED.message,
        momentary=True,
    ),
    AnswerCode.REFUSED: ProblemText(502, "구독 거절", AnswerCode.REFUSED.message, momentary=True),
    AnswerCode.UNCONFIRMED: ProblemText(
        504, "구독 확인 실패", AnswerCode.UNCONFIRMED.message, momentary=True
    ),
    AnswerCode.WITHDRAWN: ProblemText(
        409, "구독 해제됨", AnswerCode.WITHDRAWN.message, momentary=True
    ),
    AnswerCode.RECONNECT_FAILED: ProblemText(
        502,
        "재연결 실패",
        AnswerCode.RECONNECT_FAILED.message,
        momentary=True,
    ),
    AnswerCode.BUSY: ProblemText(503, "명령 폭주", AnswerCode.BUSY.message, momentary=True),
    "service-unavailable": ProblemText(
        503,
        "일시적인 장애",
        "일시적인 장애로 처리할 수 없습니다. 잠시 후 다시 시도해 주세요.",
        momentary=True,
    ),
    "gateway-timeout": ProblemText(
        504,
        "응답 지연",
        "서버의 응답이 늦어지고 있습니다. 처리 결과를 확인한 뒤 다시 시도해 주세요.",
        momentary=True,
    ),
}

# Templates for `validation-failed` by the rule that the chosen password broke.
_PASSWORD_DETAILS: dict[object, str] = {
    PasswordFault.TOO_SHORT: "비밀번호는 {minimum}자 이상이어야 합니다.",
    PasswordFault.TOO_LONG: "비밀번호는 {limit}자 이하여야 합니다.",
    PasswordFault.TOO_COMMON: "추측하기 쉬운 비밀번호입니다. 다른 비밀번호를 입력해 주세요.",
    PasswordFault.RESEMBLES_ACCOUNT: (
        "이메일, 이름, 서비스 이름과 비슷한 비밀번호는 사용할 수 없습니다."
    ),
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
    """Return the HTTP status of a problem code."""
    return _TABLE[code].status


def is_momentary(code: str) -> bool:
    """Return True if a request refused with this code may succeed later without a change."""
    return _TABLE[code].momentary


def problem(code: str, **facts: Any) -> Response:
    """Return the response for a problem code; each fact becomes a member."""
    return problem_as(status_of(code), code, **facts)


def problem_as(status: int, code: str, **facts: Any) -> Response:
    """Return the response for a problem code with a status other than its usual one."""
    instruments.record(instruments.PROBLEMS, code)
    text = replace(_TABLE[code], status=status)
    if code == "validation-failed":
        detail = fill_template(_PASSWORD_DETAILS.get(facts.get("reason")), facts)
        if detail is not None:
            text = replace(text, detail=detail)
            # In the shape of field errors, so that a form can show it beside its field.
            facts["errors"] = {"json": {facts["field"]: [detail]}}
    body = problem_members(
        code, text, instance=request.path, request_id=g.get("request_id"), **facts
    )
    # Facts may repeat a lone surrogate from the request, which UTF-8 cannot encode.
    content = current_app.json.dumps(body).encode("utf-8", "replace")
    response = Response(content, status=status, mimetype=MIMETYPE)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    # A limit on concurrent connections carries no `retry_after_s`: waiting does not lift it.
    if status == 503 or (status == 429 and "retry_after_s" in facts):
        response.headers["Retry-After"] = str(facts.get("retry_after_s", 1))
    return response


def install(app: Flask) -> None:
    app.add_url_rule(PAGE, "problems", _page)
    app.register_error_handler(DomainError, domain_error_response)
    app.register_error_handler(TossError, _toss_error)
    app.register_error_handler(MarketUnavailable, lambda _fault: problem("upstream-unavailable"))
    app.register_error_handler(DatabaseUnavailable, _database_unavailable)
    app.register_error_handler(RedisUnavailable, _redis_unavailable)
    app.register_error_handler(HTTPException, _http_exception)
    app.register_error_handler(Exception, _unexpected_error)


def domain_error_response(error: DomainError) -> Response:
    """Log a domain error and return its response."""
    log.info(
        "request_refused",
        code=error.code,
        **{f"fact_{name}": value for name, value in error.facts.items()},
    )
    return problem(error.code, **error.facts)


def _toss_error(error: TossError) -> Response:
    log.info("market_data_unavailable", code=error.code, reason=str(error))
    return problem(
        error.code,
        **({"retry_after_s": error.retry_after_s} if isinstance(error, TossPaused) else {}),
    )


def _database_unavailable(error: DatabaseUnavailable) -> Response:
    log.error("database_unavailable", reason=type(error).__name__)
    return problem("service-unavailable")


def _redis_unavailable(error: RedisUnavailable) -> Response:
    """Refuse a request that may only run while it can be counted."""
    log.warning("rate_limit_unavailable")
    return problem("service-unavailable", retry_after_s=error.retry_after_s)


def _http_exception(error: HTTPException) -> Response:
    if error.response is not None or (error.code or 500) < 400:
        return error.get_response()  # type: ignore[return-value]  # a redirect or a ready response
    code = _BY_HTTP_STATUS.get(
        error.code or 500, "malformed-request" if (error.code or 500) < 500 else "internal-error"
    )
    # webargs stores the errors by location and field on the exception.
    errors = getattr(error, "data", {}).get("messages")
    response = problem(code, **({"errors": errors} if errors else {}))
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def _unexpected_error(error: Exception) -> Response:
    log.error("request_failed", exc_info=error)
    return problem("internal-error")


def _page() -> str:
    """Return the HTML page that a problem's `type` links to: every code with its text."""
    rows = "\n".join(
        f'<tr id="{code}"><td><code>{code}</code></td><td>{text.status}</td>'
        f"<td>{text.title}</td><td>{text.detail}</td>"
        f"<td>{'예' if text.momentary else '아니요'}</td></tr>"
        for code, text in sorted(_TABLE.items())
    )
    return (
        '<!doctype html><html lang="ko"><meta charset="utf-8"><title>StocKing 오류 코드</title>'
        "<h1>오류 코드</h1><table>"
        "<tr><th>코드</th><th>HTTP 상태</th><th>제목</th><th>설명</th>"
        "<th>나중에 같은 요청이 성공할 수 있음</th></tr>\n"
        f"{rows}</table></html>"
    )
