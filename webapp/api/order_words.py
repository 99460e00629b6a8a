"""What the codes of an order's explanation mean, in the users' language."""

from trading.orders.explain import ChargeName, WaitingReason
from trading.orders.fills import FillRule
from trading.orders.model import EndReason

RULE_MESSAGES: dict[FillRule, str] = {
    FillRule.MARKET_AT_LAST_TRADE: "시장가 주문이므로 체결 시점의 최근 체결가에 체결되었습니다.",
    FillRule.LIMIT_AT_LAST_TRADE: "지정가가 이미 시장 가격을 만족하여, 지정가보다 불리하지 않은 최근 체결가에 바로 체결되었습니다.",
    FillRule.MARKET_AT_PRINT: "시장가 주문이므로 접수 이후에 나온 거래의 가격에 체결되었습니다. 시장 충격만큼 불리하게 조정될 수 있습니다.",
    FillRule.ARRIVING_AT_PRINT: "접수 이후 처음 나온 거래가 지정가를 만족하여 그 거래의 가격에 체결되었습니다.",
    FillRule.RESTING_AT_LIMIT: "호가로 대기하던 중 지정가를 만족하는 거래가 나와 지정가에 체결되었습니다.",
}

WAITING_MESSAGES: dict[WaitingReason, str] = {
    WaitingReason.ACCOUNT_HALTED: "계좌 점검을 위해 이 계좌의 거래를 잠시 중단했습니다. 재개되면 체결이 이어집니다.",
    WaitingReason.TRADING_HALTED: "관리자가 거래를 일시 중단했습니다. 재개되면 체결이 이어집니다.",
    WaitingReason.STOCK_HALTED: "거래가 정지된 종목입니다. 정지가 풀리면 체결이 이어집니다.",
    WaitingReason.STOCK_DELISTED: "더 이상 거래되지 않는 종목이므로 주문이 곧 종료됩니다.",
    WaitingReason.DAY_ENDED: "당일 주문의 장이 끝났으므로 남은 수량의 효력이 곧 종료됩니다.",
    WaitingReason.CLOSED_SESSION: "지금은 체결이 이루어지는 장 시간이 아닙니다.",
    WaitingReason.MARKET_UNAVAILABLE: "시세 저장소에 연결할 수 없어 최근 체결가를 확인하지 못했습니다. 주문은 안전하게 보관되어 있습니다.",
    WaitingReason.NO_TICK: "이 종목의 체결가가 아직 없습니다.",
    WaitingReason.STALE_FEED: "최근 체결가가 오래되어 그 가격으로는 체결하지 않습니다.",
    WaitingReason.PRICE_NOT_MET: "최근 체결가가 지정가에 닿지 않았습니다.",
    WaitingReason.PRINT_OUTSIDE_SESSION: "최근 거래가 주문을 체결시키지 않는 장(장 시간 외 또는 다른 거래소)에서 나왔습니다.",
    WaitingReason.PRINT_DURING_HALT: "최근 거래는 거래 중단 동안 나온 것이어서 주문을 체결시키지 않습니다.",
    WaitingReason.PRINT_BEFORE_ACCEPTANCE: "최근 체결가는 조건을 만족하지만 주문이 접수되거나 정정되기 전에 나온 거래입니다.",
    WaitingReason.AWAITING_MATCH: "조건을 만족하는 거래가 나왔고 곧 주문과 대조됩니다.",
    WaitingReason.NOT_REACHED: "최근 거래는 이 주문까지 차례가 오지 않았습니다. 다음 거래를 기다립니다.",
    WaitingReason.BEING_EXECUTED: "체결을 처리하고 있습니다.",
}

ENDING_MESSAGES: dict[EndReason | None, str] = {
    None: "주문 수량이 모두 체결되었습니다.",
    EndReason.CANCELLED_BY_USER: "사용자가 주문을 취소했습니다.",
    EndReason.DAY_ENDED: "당일 주문이므로 장이 끝나면서 남은 수량의 효력이 끝났습니다.",
    EndReason.NOT_FILLED_AT_ONCE: "즉시 체결되지 않은 수량은 취소되는 조건의 주문이어서 남은 수량이 취소되었습니다.",
    EndReason.STOCK_NOT_TRADABLE: "더 이상 거래되지 않는 종목이어서 주문이 종료되었습니다.",
    EndReason.INSUFFICIENT_CASH: "체결 가격을 치를 현금이 부족하여 주문이 종료되었습니다.",
    EndReason.ACCOUNT_OVERDRAWN: "결제가 취소되어 계좌에 미수금이 생겼기 때문에 매수 주문이 취소되었습니다.",
}

CHARGE_LABELS: dict[ChargeName, str] = {
    ChargeName.COMMISSION: "수수료",
    ChargeName.TRANSACTION_TAX: "증권거래세",
    ChargeName.RURAL_TAX: "농어촌특별세",
}
