"""Korean texts for the codes in an order's explanation."""

from trading.orders.explain import ChargeName, WaitingReason
from trading.orders.fill_price import FillRule
from trading.orders.model import EndReason

RULE_MESSAGES: dict[FillRule, str] = {
    FillRule.MARKET_AT_LAST_TRADE: "시장가 주문이라 최근 체결가로 체결되었습니다.",
    FillRule.LIMIT_AT_LAST_TRADE: (
        "최근 체결가가 지정가와 같거나 더 유리하여 그 가격에 바로 체결되었습니다."
    ),
    FillRule.MARKET_AT_PRINT: (
        "시장가 주문이라 접수 후 나온 시장 체결가로 체결되었습니다. "
        "시장 충격을 반영하면 체결가가 더 불리해질 수 있습니다."
    ),
    FillRule.ARRIVING_AT_PRINT: (
        "접수 후 처음 나온 시장 체결가가 지정가를 충족하여 그 가격에 체결되었습니다."
    ),
    FillRule.RESTING_AT_LIMIT: (
        "호가로 대기하던 중 지정가를 충족하는 거래가 나와 지정가에 체결되었습니다."
    ),
    FillRule.RESTING_AT_AUCTION: (
        "단일가 매매에서 결정된 가격이 지정가를 충족하여 그 가격에 체결되었습니다."
    ),
}

WAITING_MESSAGES: dict[WaitingReason, str] = {
    WaitingReason.ACCOUNT_HALTED: (
        "계좌 점검을 위해 거래를 잠시 중단했습니다. 거래가 재개되면 체결을 다시 시작합니다."
    ),
    WaitingReason.TRADING_HALTED: (
        "점검을 위해 전체 거래를 잠시 중단했습니다. 거래가 재개되면 체결을 다시 시작합니다."
    ),
    WaitingReason.STOCK_HALTED: (
        "거래가 정지된 종목입니다. 거래 정지가 해제되면 체결을 다시 시작합니다."
    ),
    WaitingReason.STOCK_DELISTED: "더 이상 거래되지 않는 종목이라 주문이 곧 종료됩니다.",
    WaitingReason.DAY_ENDED: "당일 유효 주문이라 장 마감 후 미체결 수량이 곧 취소됩니다.",
    WaitingReason.CLOSED_SESSION: "지금은 주문이 체결되는 시간이 아닙니다.",
    WaitingReason.MARKET_UNAVAILABLE: (
        "시세를 확인할 수 없어 체결을 기다리고 있습니다. 주문은 그대로 유지됩니다."
    ),
    WaitingReason.NO_TICK: "이 종목의 체결가가 아직 없습니다.",
    WaitingReason.STALE_FEED: "최근 체결가가 오래되어 새로운 체결가를 기다리고 있습니다.",
    WaitingReason.PRICE_NOT_MET: "최근 체결가가 아직 지정가에 도달하지 않았습니다.",
    WaitingReason.PRINT_OUTSIDE_SESSION: (
        "최근 거래는 장 시간 외 거래이거나 다른 거래소의 거래여서 체결에 반영하지 않았습니다."
    ),
    WaitingReason.PRINT_DURING_HALT: (
        "최근 거래는 거래 중단 중에 나온 거래여서 체결에 반영하지 않았습니다."
    ),
    WaitingReason.PRINT_BEFORE_ACCEPTANCE: (
        "최근 거래는 주문 접수나 정정 이전의 거래여서 체결에 반영하지 않았습니다."
    ),
    WaitingReason.AWAITING_MATCH: "체결 조건을 충족하는 거래가 나와 곧 체결됩니다.",
    WaitingReason.NOT_REACHED: (
        "직전 체결 물량이 앞선 주문에 먼저 배정되었습니다. 다음 체결을 기다리고 있습니다."
    ),
    WaitingReason.BEING_EXECUTED: "체결을 처리하고 있습니다.",
    WaitingReason.PROCESSING_DELAYED: (
        "시스템의 주문 처리가 지연되어 {since}부터 처리를 기다리고 있습니다. "
        "주문은 그대로 유지됩니다."
    ),
}

ENDING_MESSAGES: dict[EndReason | None, str] = {
    None: "주문 수량이 모두 체결되었습니다.",
    EndReason.CANCELLED_BY_USER: "고객 요청으로 주문이 취소되었습니다.",
    EndReason.DAY_ENDED: "당일 유효 주문이라 장 마감과 함께 미체결 수량이 취소되었습니다.",
    EndReason.NOT_FILLED_AT_ONCE: "즉시 체결 조건의 주문이라 미체결 수량이 취소되었습니다.",
    EndReason.STOCK_NOT_TRADABLE: "더 이상 거래되지 않는 종목이라 주문이 취소되었습니다.",
    EndReason.INSUFFICIENT_CASH: "예수금이 부족하여 주문이 취소되었습니다.",
    EndReason.PRICE_OUT_OF_LIMITS: (
        "주문 가격이 오늘의 가격 제한폭을 벗어나 주문이 취소되었습니다."
    ),
    EndReason.ACCOUNT_CLOSED: "회원 탈퇴로 계좌가 해지되어 주문이 취소되었습니다.",
    EndReason.BASE_PRICE_CHANGED: (
        "종목의 기준가가 크게 변경되어 이전에 접수한 주문이 취소되었습니다. 주식 분할이나 병합이 "
        "있었는지 확인해 주세요."
    ),
    EndReason.ACCOUNT_OVERDRAWN: "결제 취소로 미수금이 발생하여 매수 주문이 취소되었습니다.",
}

CHARGE_LABELS: dict[ChargeName, str] = {
    ChargeName.COMMISSION: "수수료",
    ChargeName.TRANSACTION_TAX: "증권거래세",
    ChargeName.RURAL_TAX: "농어촌특별세",
}
