"""Korean names of types, sides and states, for files that people read."""

from trading.exchange.order_types import OrderType, Side, TimeInForce
from trading.ledger.model import TransactionType
from trading.orders.model import EndReason, OrderStatus
from webapp.api.order_messages import ENDING_MESSAGES

SIDES: dict[Side, str] = {Side.BUY: "매수", Side.SELL: "매도"}

ORDER_TYPES: dict[OrderType, str] = {OrderType.MARKET: "시장가", OrderType.LIMIT: "지정가"}

TIMES_IN_FORCE: dict[TimeInForce, str] = {
    TimeInForce.DAY: "당일",
    TimeInForce.GTC: "취소할 때까지",
    TimeInForce.IOC: "즉시 체결 후 잔량 취소",
    TimeInForce.FOK: "즉시 전량 체결 또는 취소",
}

ORDER_STATUSES: dict[OrderStatus, str] = {
    OrderStatus.PENDING: "미체결",
    OrderStatus.PARTIALLY_FILLED: "일부 체결",
    OrderStatus.FILLED: "체결",
    OrderStatus.CANCELLED: "취소",
    OrderStatus.REJECTED: "거부",
    OrderStatus.EXPIRED: "만료",
}

END_REASONS: dict[EndReason, str] = {
    reason: message for reason, message in ENDING_MESSAGES.items() if reason is not None
}

TRANSACTION_TYPES: dict[TransactionType, str] = {
    TransactionType.BUY: "매수",
    TransactionType.SELL: "매도",
    TransactionType.DEPOSIT: "입금",
    TransactionType.WITHDRAW: "출금",
    TransactionType.REFUND: "환불",
    TransactionType.DIVIDEND: "배당",
    TransactionType.FEE: "수수료",
    TransactionType.TAX: "세금",
}
