"""Market hours: times and behaviour of each session, and properties of any instant."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.exchange.calendar import FIRST_KNOWN_DAY
from trading.exchange.hours import (
    AlwaysOpen,
    DayChange,
    KrxHours,
    MarketHours,
    TradingPhase,
    TradingSession,
)
from trading.exchange.order_types import OrderType
from trading.exchange.price_grid import StockKind
from trading.exchange.time import KST, trade_date

KRX = KrxHours({})
MINUTE = timedelta(minutes=1)

DAYS = st.dates(date(2023, 2, 1), date(2027, 12, 30))
TYPES = st.sampled_from(OrderType)
KINDS = st.sampled_from(["STOCK", "ETF", "ETN"])


@st.composite
def instants(draw: st.DrawFn) -> datetime:
    """Return any instant of five years, often one next to a bound of the timetable."""
    day = draw(DAYS)
    bound = draw(
        st.sampled_from(
            [
                time(8),
                time(8, 30),
                time(9),
                time(15, 20),
                time(15, 30),
                time(15, 31),
                time(16),
                time(20),
            ]
        )
    )
    free = st.timedeltas(timedelta(0), timedelta(days=1) - timedelta(microseconds=1))
    near = st.timedeltas(-MINUTE, MINUTE).map(
        lambda off: datetime.combine(day, bound, KST) - datetime.combine(day, time(), KST) + off
    )
    moved = draw(st.one_of(free, near))
    return (datetime.combine(day, time(), KST) + moved).astimezone(
        draw(st.sampled_from([UTC, KST]))
    )


@st.composite
def changes(draw: st.DrawFn) -> dict[date, DayChange]:
    """Return a few corrections of any kind."""
    made = {}
    for day in draw(st.lists(DAYS, max_size=5)):
        closed = draw(st.booleans())
        made[day] = DayChange(day, closed, 0 if closed else draw(st.integers(0, 360)), "")
    return made


MARKETS = st.one_of(st.just(KRX), st.just(AlwaysOpen()), changes().map(KrxHours))


def kst(text: str) -> datetime:
    """Parse ``2026-11-20 09:00`` as Korean time."""
    return datetime.fromisoformat(text).replace(tzinfo=KST)


def formatted_sessions(day: date, hours: MarketHours = KRX) -> dict[str, str]:
    """Return a day's sessions as ``08:00-08:50`` in Korean time."""

    def clock(at: datetime) -> str:
        return f"{at.astimezone(KST):%H:%M}"

    return {
        span.session: f"{clock(span.opens_at)}-{clock(span.closes_at)}" for span in hours.spans(day)
    }


USUAL = {
    "OPENING_AUCTION": "08:30-09:00",
    "REGULAR": "09:00-15:20",
    "CLOSING_AUCTION": "15:20-15:30",
}


@pytest.mark.parametrize(
    ("day", "sessions"),
    [
        (date(2025, 2, 28), USUAL),
        (date(2025, 3, 4), {"PRE_MARKET": "08:00-08:50", **USUAL, "AFTER_MARKET": "15:40-20:00"}),
        (date(2026, 9, 11), {"PRE_MARKET": "08:00-08:50", **USUAL, "AFTER_MARKET": "15:40-20:00"}),
        (date(2026, 9, 14), {"PRE_MARKET": "08:00-08:50", **USUAL, "AFTER_MARKET": "16:00-20:00"}),
        (
            date(2026, 1, 2),
            {
                "OPENING_AUCTION": "09:30-10:00",
                "REGULAR": "10:00-15:20",
                "CLOSING_AUCTION": "15:20-15:30",
                "AFTER_MARKET": "15:40-20:00",
            },
        ),
        (
            date(2025, 11, 13),
            {
                "OPENING_AUCTION": "09:30-10:00",
                "REGULAR": "10:00-16:20",
                "CLOSING_AUCTION": "16:20-16:30",
                "AFTER_MARKET": "16:40-20:00",
            },
        ),
        (
            date(2026, 11, 19),
            {
                "OPENING_AUCTION": "09:30-10:00",
                "REGULAR": "10:00-16:20",
                "CLOSING_AUCTION": "16:20-16:30",
                "AFTER_MARKET": "17:00-20:00",
            },
        ),
        (date(2026, 11, 21), {}),
        (date(2026, 12, 31), {}),
    ],
)
def test_sessions_of_a_day(day: date, sessions: dict[str, str]) -> None:
    """Nextrade opened on 2025-03-04, KRX's after-market on 2026-09-14; late days have no pre-market
    and end as usual.
    """
    assert formatted_sessions(day) == sessions
    assert all(
        span.opens_at.tzinfo is UTC and span.closes_at.tzinfo is UTC for span in KRX.spans(day)
    )


def test_very_late_day_has_no_evening_session() -> None:
    """With a delay of six hours the close is after the usual end of the evening."""
    day = date(2026, 11, 20)
    late = KrxHours({day: DayChange(day, closed=False, delay_minutes=360, note="")})
    assert formatted_sessions(day, late) == {
        "OPENING_AUCTION": "14:30-15:00",
        "REGULAR": "15:00-21:20",
        "CLOSING_AUCTION": "21:20-21:30",
    }


@pytest.mark.parametrize(
    ("at", "session"),
    [
        ("07:59:59.999999", None),
        ("08:00", TradingSession.PRE_MARKET),
        ("08:30", TradingSession.OPENING_AUCTION),
        ("08:59:59.999999", TradingSession.OPENING_AUCTION),
        ("09:00", TradingSession.REGULAR),
        ("15:20", TradingSession.CLOSING_AUCTION),
        ("15:30", None),
        ("16:00", TradingSession.AFTER_MARKET),
        ("20:00", None),
    ],
)
def test_session_at_an_instant(at: str, session: TradingSession | None) -> None:
    """Start inclusive, end exclusive; where two overlap it is KRX's."""
    span = KRX.span_at(kst(f"2026-11-20 {at}"))
    assert (span.session if span else None) is session


@pytest.mark.parametrize(
    ("at", "accepted"),
    [
        ("2026-11-20 08:25", ""),
        ("2026-11-20 08:45", "MARKET"),
        ("2026-11-20 09:00", "MARKET LIMIT ETF"),
        ("2026-11-20 15:19:59", "MARKET LIMIT ETF"),
        ("2026-11-20 15:20", "MARKET"),
        ("2026-11-20 15:30", ""),
        ("2026-11-20 15:45", ""),
        ("2026-11-20 16:00", "LIMIT"),
        ("2026-11-20 20:00", ""),
        ("2026-09-11 16:00", ""),
        ("2026-11-21 10:00", ""),
    ],
)
def test_order_types_accepted_at_once(at: str, accepted: str) -> None:
    """All in the regular session; in KRX's after-market only limit orders on shares."""
    found = [
        word
        for word, order_type, kind in (
            ("MARKET", OrderType.MARKET, "STOCK"),
            ("LIMIT", OrderType.LIMIT, "STOCK"),
            ("ETF", OrderType.LIMIT, "ETF"),
        )
        if KRX.accepts_at_once(kst(at), order_type=order_type, kind=kind)
    ]
    assert " ".join(found) == accepted


@pytest.mark.parametrize(
    ("printed_at", "exchange", "kind", "session"),
    [
        ("2026-11-20 08:10", "NXT", "STOCK", None),
        ("2026-11-20 08:59:59.9", "KRX", "STOCK", None),
        ("2026-11-20 09:00", "KRX", "STOCK", TradingSession.REGULAR),
        ("2026-11-20 12:00", None, "ETF", TradingSession.REGULAR),
        ("2026-11-20 12:00", "NXT", "STOCK", TradingSession.REGULAR),
        ("2026-11-20 15:20", "KRX", "STOCK", TradingSession.CLOSING_AUCTION),
        ("2026-11-20 15:30:29", "KRX", "ETN", TradingSession.CLOSING_AUCTION),
        ("2026-11-20 15:30:59.999999", None, "STOCK", TradingSession.CLOSING_AUCTION),
        ("2026-11-20 15:30:29", "NXT", "STOCK", None),
        ("2026-11-20 15:31", "KRX", "STOCK", None),
        ("2026-11-20 16:00", "KRX", "STOCK", TradingSession.AFTER_MARKET),
        ("2026-11-20 19:59:59", None, "STOCK", TradingSession.AFTER_MARKET),
        ("2026-11-20 16:00", "NXT", "STOCK", None),
        ("2026-11-20 16:00", "nxt", "STOCK", None),
        ("2026-11-20 16:00", "KRX", "ETF", None),
        ("2026-11-20 20:00", "KRX", "STOCK", None),
        ("2026-09-11 17:00", "KRX", "STOCK", None),
        ("2026-11-21 12:00", "KRX", "STOCK", None),
        ("2026-11-19 09:30", "KRX", "STOCK", None),
        ("2026-11-19 16:30:30", "KRX", "STOCK", TradingSession.CLOSING_AUCTION),
        ("1970-01-01 12:00", "KRX", "STOCK", None),
        ("9999-12-31 23:59", "KRX", "STOCK", None),
    ],
)
def test_prints_that_fill_orders(
    printed_at: str, exchange: str | None, kind: StockKind, session: TradingSession | None
) -> None:
    """The opening auction's print belongs to the regular session, the closing auction's may be
    late; Nextrade's evening fills nothing.
    """
    assert KRX.filling_session(kst(printed_at), exchange=exchange, kind=kind) is session


@pytest.mark.parametrize(
    ("at", "opening", "order_type", "kind"),
    [
        ("2026-11-20 07:00", "2026-11-20 08:30", OrderType.MARKET, "STOCK"),
        ("2026-11-20 07:00", "2026-11-20 09:00", OrderType.LIMIT, "STOCK"),
        ("2026-11-20 12:00", "2026-11-20 12:00", OrderType.MARKET, "ETF"),
        ("2026-11-20 15:25", "2026-11-20 16:00", OrderType.LIMIT, "STOCK"),
        ("2026-11-20 15:25", "2026-11-20 15:25", OrderType.MARKET, "STOCK"),
        ("2026-11-20 15:30", "2026-11-23 08:30", OrderType.MARKET, "STOCK"),
        ("2026-11-20 15:25", "2026-11-23 09:00", OrderType.LIMIT, "ETF"),
        ("2026-11-20 20:00", "2026-11-23 09:00", OrderType.LIMIT, "STOCK"),
        ("2026-12-30 20:00", "2027-01-04 10:00", OrderType.LIMIT, "STOCK"),
        ("2026-11-18 21:00", "2026-11-19 09:30", OrderType.MARKET, "STOCK"),
    ],
)
def test_next_opening(at: str, opening: str, order_type: OrderType, kind: StockKind) -> None:
    """Now if open; otherwise the next session that accepts such an order, over weekends, new year
    and late days.
    """
    assert KRX.next_opening(kst(at), order_type=order_type, kind=kind) == kst(opening)


@pytest.mark.parametrize(
    ("at", "before", "after", "day"),
    [
        ("2026-11-20 10:00", "2026-11-19 20:00", "2026-11-20 15:30", date(2026, 11, 20)),
        ("2026-11-20 15:29:59", "2026-11-19 20:00", "2026-11-20 15:30", date(2026, 11, 20)),
        ("2026-11-20 15:30", "2026-11-19 20:00", "2026-11-20 20:00", date(2026, 11, 20)),
        ("2026-11-20 15:31", "2026-11-20 15:30", "2026-11-20 20:00", date(2026, 11, 20)),
        ("2026-11-20 20:00", "2026-11-20 15:30", "2026-11-23 15:30", date(2026, 11, 23)),
        ("2026-11-20 20:01", "2026-11-20 20:00", "2026-11-23 15:30", date(2026, 11, 23)),
        ("2026-11-22 12:00", "2026-11-20 20:00", "2026-11-23 15:30", date(2026, 11, 23)),
        ("2026-09-11 15:30", "2026-09-10 15:30", "2026-09-14 15:30", date(2026, 9, 14)),
        ("2026-09-14 15:31", "2026-09-14 15:30", "2026-09-14 20:00", date(2026, 9, 14)),
        ("2026-11-19 15:31", "2026-11-18 20:00", "2026-11-19 16:30", date(2026, 11, 19)),
    ],
)
def test_ends_of_day_orders(at: str, before: str, after: str, day: date) -> None:
    """With the closing auction, or with the after-market for orders accepted in between; a later
    one on Friday ends on Monday.
    """
    assert KRX.day_end_before(kst(at)) == kst(before)
    assert KRX.day_end_after(kst(at)) == kst(after)
    assert KRX.trading_day(kst(at)) == day


def test_sudden_holiday_extends_orders_to_the_next_trading_day() -> None:
    friday = date(2026, 11, 20)
    hours = KrxHours({friday: DayChange(friday, closed=True, delay_minutes=0, note="임시공휴일")})

    assert hours.spans(friday) == ()
    assert hours.filling_session(kst("2026-11-20 10:00"), exchange="KRX", kind="STOCK") is None
    assert hours.day_end_after(kst("2026-11-19 21:00")) == kst("2026-11-23 15:30")
    assert hours.trading_day(kst("2026-11-20 10:00")) == date(2026, 11, 23)


def test_always_open_market_has_one_session_a_day() -> None:
    hours, sunday = AlwaysOpen(), kst("2026-11-22 03:00")
    (span,) = hours.spans(date(2026, 11, 22))

    assert hours.span_at(sunday) == span
    assert (span.opens_at, span.closes_at) == (kst("2026-11-22 00:00"), kst("2026-11-23 00:00"))
    assert hours.is_trading_day(date(2026, 11, 22))
    assert hours.accepts_at_once(sunday, order_type=OrderType.MARKET, kind="ETF")
    assert hours.filling_session(sunday, exchange="NXT", kind="ETN") is TradingSession.ALWAYS_OPEN
    assert hours.day_end_before(sunday) == span.opens_at
    assert hours.day_end_after(span.closes_at) == span.closes_at + timedelta(days=1)
    assert hours.trading_day(sunday) == date(2026, 11, 22)


@given(MARKETS, instants())
def test_day_ends_enclose_every_instant(hours: MarketHours, at: datetime) -> None:
    """No end lies between the previous and the next one, except one whose last print is still
    expected.
    """
    before, after = hours.day_end_before(at), hours.day_end_after(at)

    assert before <= at < after
    awaited = hours.day_end_after(before)
    assert awaited == after or (
        awaited <= at < awaited + MINUTE and hours.day_end_after(awaited) == after
    )
    assert hours.day_end_before(after + MINUTE) == after
    assert trade_date(after - timedelta(microseconds=1)) == hours.trading_day(at)
    assert hours.is_trading_day(hours.trading_day(at))


@given(MARKETS, DAYS)
def test_sessions_are_ordered_within_their_day(hours: MarketHours, day: date) -> None:
    """A closed day has none, a trading day has a regular one."""
    spans = hours.spans(day)

    assert bool(spans) == hours.is_trading_day(day)
    assert all(span.opens_at < span.closes_at for span in spans)
    assert all(one.opens_at < other.opens_at for one, other in pairwise(spans))
    assert all(
        one.closes_at <= other.opens_at
        for one, other in pairwise(spans)
        if one.session is not TradingSession.PRE_MARKET
    )
    assert all(
        trade_date(span.opens_at) == day == trade_date(span.closes_at - MINUTE) for span in spans
    )


@given(MARKETS, instants(), TYPES, KINDS)
def test_next_opening_is_the_first_that_accepts_the_order(
    hours: MarketHours, at: datetime, order_type: OrderType, kind: StockKind
) -> None:
    opening = hours.next_opening(at, order_type=order_type, kind=kind)

    assert opening >= at
    assert hours.accepts_at_once(opening, order_type=order_type, kind=kind)
    assert hours.accepts_at_once(at, order_type=order_type, kind=kind) == (opening == at)
    if opening > at:
        just_before = max(at, opening - timedelta(microseconds=1))
        assert not hours.accepts_at_once(just_before, order_type=order_type, kind=kind)


@given(MARKETS, instants(), st.sampled_from([None, "KRX", "NXT", "nxt", "?"]), KINDS)
def test_only_sessions_of_a_trading_day_fill(
    hours: MarketHours, at: datetime, exchange: str | None, kind: StockKind
) -> None:
    """Or up to a minute after one; whatever executes at once can also be filled."""
    session = hours.filling_session(at, exchange=exchange, kind=kind)

    if session is not None:
        assert hours.is_trading_day(trade_date(at))
        assert any(
            span.session is session and span.opens_at <= at < span.closes_at + MINUTE
            for span in hours.spans(trade_date(at))
        )
    if hours.accepts_at_once(at, order_type=OrderType.LIMIT, kind=kind):
        assert hours.filling_session(at, exchange="KRX", kind=kind) is not None


@given(
    st.permutations(
        [
            kst("2026-11-20 10:00"),
            kst("2026-11-21 10:00"),
            kst("2026-11-23 23:59"),
            kst("2026-11-24 00:00"),
        ]
    )
)
def test_earlier_calls_change_no_result(order: list[datetime]) -> None:
    """KrxHours caches the last day."""
    hours = KrxHours({})
    found = {at: hours.filling_session(at, exchange=None, kind="STOCK") for at in order}
    assert sum(session is TradingSession.REGULAR for session in found.values()) == 1
    assert found[kst("2026-11-20 10:00")] is TradingSession.REGULAR


@pytest.mark.parametrize("hours", [KRX, AlwaysOpen()])
def test_naive_time_raises(hours: MarketHours) -> None:
    naive = datetime(2026, 11, 20, 10)  # noqa: DTZ001
    for question in (hours.span_at, hours.day_end_before, hours.day_end_after, hours.trading_day):
        with pytest.raises(ValueError, match="offset"):
            question(naive)
    with pytest.raises(ValueError, match="offset"):
        hours.next_opening(naive, order_type=OrderType.MARKET, kind="STOCK")


def test_search_for_a_trading_day_is_bounded() -> None:
    """Without one in a year it raises instead of looping endlessly."""
    closed = {
        day: DayChange(day, closed=True, delay_minutes=0, note="")
        for day in (FIRST_KNOWN_DAY + timedelta(days=n) for n in range(800))
    }
    hours, at = KrxHours(closed), kst("2024-01-15 10:00")

    with pytest.raises(LookupError, match="within a year before"):
        hours.day_end_before(at)
    with pytest.raises(LookupError, match="within a year after"):
        hours.day_end_after(at)
    with pytest.raises(LookupError, match="No opening within a year"):
        hours.next_opening(at, order_type=OrderType.LIMIT, kind="STOCK")


@given(instants())
def test_every_print_that_fills_orders_belongs_to_one_phase_of_its_day(at: datetime) -> None:
    """The closing auction is a phase of its own; the others begin with an auction's result."""
    for hours in (KRX, AlwaysOpen()):
        session = hours.filling_session(at, exchange=None, kind="STOCK")
        phase = hours.phase_of(at)
        assert (phase is None) == (session is None)
        if phase is not None:
            assert trade_date(phase.started_at) == trade_date(at)
            assert phase.started_at <= at
            assert phase.only_auction == (session is TradingSession.CLOSING_AUCTION)
            assert phase.only_auction or phase.entry_ends_at == phase.started_at
            assert not phase.only_auction or at < phase.entry_ends_at + MINUTE


def test_phases_of_a_day() -> None:
    phases = [
        KRX.phase_of(kst(f"2026-11-20 {at}"))
        for at in ("08:59", "09:00", "15:19", "15:20", "15:30", "15:31", "16:00")
    ]
    regular = TradingPhase(kst("2026-11-20 09:00"), kst("2026-11-20 09:00"), only_auction=False)
    closing = TradingPhase(kst("2026-11-20 15:20"), kst("2026-11-20 15:30"), only_auction=True)
    evening = TradingPhase(kst("2026-11-20 16:00"), kst("2026-11-20 16:00"), only_auction=False)
    assert phases == [None, regular, regular, closing, closing, None, evening]
