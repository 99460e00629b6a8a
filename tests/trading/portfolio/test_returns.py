"""Returns adjusted for flows, compared with their definition in fractions."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.portfolio.returns import (
    Return,
    Unavailable,
    UnavailableReason,
    Valuation,
    annualise,
    chain_returns,
    daily_returns,
    money_weighted_return,
    opening_valuation,
    total_return,
)

FIRST = date(2026, 1, 2)
WON = st.integers(0, 10**13)


def day(n: int) -> date:
    return FIRST + timedelta(days=n)


def days(*rows: tuple[int | None, int]) -> list[Valuation]:
    """Return valuations of successive days from (value, flow); a negative flow is a withdrawal."""
    return [
        Valuation(day(n), worth, max(flow, 0), max(-flow, 0))
        for n, (worth, flow) in enumerate(rows)
    ]


def values(*rows: tuple[int | None, int]) -> list[Decimal]:
    return [one.value for one in daily_returns(days(*rows))]


def test_deposit_is_not_a_return() -> None:
    """100 become 110, and 50 more earn nothing: 10 % and 0 %."""
    assert values((100, 0), (110, 0), (160, 50)) == [Decimal("0.1"), 0]


def test_deposit_counts_from_the_beginning_of_its_day() -> None:
    """50 and a deposit of 50 earn 10 on that day: 10 %."""
    assert values((50, 0), (110, 50)) == [Decimal("0.1")]


def test_withdrawal_counts_until_the_end_of_its_day() -> None:
    """100 become 110, of which 50 are withdrawn: 10 %. The same if all is withdrawn."""
    assert values((100, 0), (60, -50)) == values((100, 0), (0, -110)) == [Decimal("0.1")]


def test_deposit_and_withdrawal_of_one_day_cancel_out() -> None:
    """10,000,000 fall by 20 % while 100,000,000 pass through the account: −20 %."""
    through = Valuation(day(1), 8_000_000, 100_000_000, 100_000_000)
    valuations = [Valuation(day(0), 10_000_000), through]

    (found,) = daily_returns(valuations)

    assert found.value == Decimal("-0.2")
    weighted = money_weighted_return(valuations, since=day(0), until=day(1))
    assert weighted == pytest.approx(Decimal("-0.2"), abs=Decimal("1e-20"))


def test_rest_of_a_deposit_or_withdrawal_counts() -> None:
    """100, of which 110 more is withdrawn than deposited, leave 10: 20 %. 100 and 50 net: 10 %."""
    (less,) = daily_returns([Valuation(day(0), 100), Valuation(day(1), 10, 100, 210)])
    (more,) = daily_returns([Valuation(day(0), 100), Valuation(day(1), 165, 80, 30)])

    assert (less.value, more.value) == (Decimal("0.2"), Decimal("0.1"))


def test_deposit_of_an_empty_account_is_its_capital() -> None:
    """100 are deposited, become 110, and all is withdrawn on the same day: 10 %."""
    (found,) = daily_returns([Valuation(day(0), 0), Valuation(day(1), 0, 100, 110)])

    assert found.value == Decimal("0.1")


def test_loss_of_all_that_was_not_withdrawn_is_measured_with_the_deposit() -> None:
    """100 are deposited, 80 withdrawn, and nothing is left: −20 %, from which returns go on."""
    (found,) = daily_returns([Valuation(day(0), 0), Valuation(day(1), 0, 100, 80)])

    assert found.value == Decimal("-0.2")


def test_flows_cancel_out_over_a_day_of_unknown_value() -> None:
    valuations = [
        Valuation(day(0), 100),
        Valuation(day(1), None, 1_000, 0),
        Valuation(day(2), 80, 0, 1_000),
    ]
    assert [one.value for one in daily_returns(valuations)] == [Decimal("-0.2")]


@given(
    st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 10**13)), min_size=2, max_size=20),
    st.data(),
)
def test_flows_that_cancel_within_a_day_change_no_return(
    rows: list[tuple[int, int]], data: st.DataObject
) -> None:
    """Any payments in any order: the returns are those of the values alone, in fractions."""
    valuations = []
    for n, (worth, _) in enumerate(rows):
        parts = data.draw(st.lists(st.integers(1, 10**12), max_size=3))
        paid_in = paid_out = sum(parts)
        valuations.append(Valuation(day(n), worth, paid_in, paid_out))

    found = daily_returns(valuations)

    expected = [Fraction(after[0], before[0]) - 1 for before, after in pairwise(rows)]
    assert len(found) == len(expected)
    for one, value in zip(found, expected, strict=True):
        assert abs(Fraction(one.value) - value) <= (value + 2) / 10**26
    assert daily_returns([Valuation(one.day, one.worth) for one in valuations]) == found


@given(
    before=st.integers(1, 10**10),
    worth=st.integers(1, 10**10),
    net=st.integers(-(10**10), 10**10),
    through=st.lists(st.integers(0, 10**12), min_size=2, max_size=2),
)
def test_return_depends_on_the_net_flow_only(
    before: int, worth: int, net: int, through: list[int]
) -> None:
    (one, other) = (
        daily_returns(
            [
                Valuation(day(0), before),
                Valuation(day(1), worth, max(net, 0) + more, max(-net, 0) + more),
            ]
        )
        for more in through
    )
    assert one == other
    capital, end = before + max(net, 0), worth + max(-net, 0)
    assert abs(Fraction(one[0].value) - (Fraction(end, capital) - 1)) <= Fraction(
        end + 2 * capital, capital * 10**26
    )


def test_first_return_is_measured_from_the_starting_cash() -> None:
    """The account is opened with 100 and loses 5 on its first day: −5 %."""
    first = Valuation(FIRST, 95, 100)

    assert daily_returns([opening_valuation(first), first]) == (
        Return(day(-1), FIRST, Decimal("-0.05")),
    )


def test_return_spans_a_day_of_unknown_value() -> None:
    """100 and a deposit of 50 on that day are worth 165 a day later: 10 %."""
    assert daily_returns(days((100, 0), (None, 50), (165, 0))) == (
        Return(day(0), day(2), Decimal("0.1")),
    )
    assert values((None, 100), (100, 0), (None, 0)) == values((None, 5)) == []


def test_day_without_capital_has_no_return() -> None:
    """The next return begins with the day of the next deposit."""
    emptied = daily_returns(days((100, 0), (0, -100), (0, 0), (0, 0), (220, 200)))

    assert emptied == (Return(day(0), day(1), Decimal(0)), Return(day(3), day(4), Decimal("0.1")))
    assert daily_returns(days((0, 0), (None, 10), (11, 0))) == (
        Return(day(0), day(2), Decimal("0.1")),
    )


def test_total_loss_remains_total() -> None:
    """−100 % whatever is paid in later; a value below zero counts as zero."""
    assert values((100, 0), (0, 0)) == values((100, 0), (-30, 0)) == [-1]
    assert total_return(values((100, 0), (0, 0), (300, 100))) == -1


def test_debt_is_not_an_additional_loss() -> None:
    """100 become 40 and all 100 are withdrawn: −60 %. The debt of 60 reduces the next deposit."""
    assert values((100, 0), (-60, -100), (44, 100), (0, 0)) == [Decimal("-0.6"), Decimal("0.1"), -1]
    assert values((100, 0), (-60, -100), (-20, 40)) == [Decimal("-0.6")]


def test_less_than_a_year_is_not_annualised() -> None:
    assert annualise(Decimal("0.21"), days=364) == Unavailable(
        UnavailableReason.PERIOD_TOO_SHORT, needed=365, have=364
    )
    assert annualise(Decimal("0.21"), days=365) == Decimal("0.21")
    assert annualise(Decimal("0.21"), days=730) == Decimal("0.1")
    assert annualise(Decimal(-1), days=500) == -1


def test_chaining_spans_excluded_days() -> None:
    """Two returns over an excluded day become one. Returns before the first and after the last
    included day are dropped.
    """
    returns = daily_returns(days((100, 0), (110, 0), (121, 0), (242, 0), (484, 0)))

    assert chain_returns(returns, {day(1), day(3)}) == (Return(day(1), day(3), Decimal("1.2")),)
    assert chain_returns(returns, set()) == chain_returns(returns, {day(2)}) == ()
    assert chain_returns(returns, {day(n) for n in range(5)}) == returns


def test_chaining_does_not_span_a_gap() -> None:
    """Days without capital are not chained."""
    returns = daily_returns(days((100, 0), (110, 0), (0, -110), (0, 0), (20, 10), (20, 0)))

    assert chain_returns(returns, {day(1), day(5)}) == ()
    assert [one.since for one in chain_returns(returns, {day(1), day(2), day(3), day(5)})] == [
        day(1),
        day(3),
    ]


@given(
    st.lists(
        st.tuples(st.none() | WON, st.just(0) | st.integers(-(10**9), 10**9)),
        min_size=1,
        max_size=30,
    )
)
def test_returns_equal_their_definition(rows: list[tuple[int | None, int]]) -> None:
    """Each span in exact fractions: end plus withdrawals, divided by beginning plus deposits, net.

    Without net capital, the deposits are the capital.
    """
    expected: dict[date, Fraction] = {}
    before: int | None = None
    flows: list[int] = []
    for n, (worth, flow) in enumerate(rows):
        flows.append(flow)
        if worth is None:
            continue
        paid = sum(flow for flow in flows if flow > 0)
        taken = -sum(flow for flow in flows if flow < 0)
        net = max(paid - taken, 0)
        if before is not None and before + net > 0:
            paid, taken = net, max(taken - paid, 0)
        capital = paid
        if before is not None and before + capital > 0:
            expected[day(n)] = Fraction(worth + taken, before + capital) - 1
        before, flows = worth, []

    found = {one.day: one for one in daily_returns(days(*rows))}

    assert found.keys() == expected.keys()
    assert all(
        abs(Fraction(found[at].value) - value) <= (value + 2) / 10**26
        for at, value in expected.items()
    )
    assert all(one.since < one.day and one.value >= -1 for one in found.values())


@given(st.lists(st.tuples(st.integers(1, 10**13), st.just(0)), min_size=2, max_size=30))
def test_total_return_without_flows_is_end_divided_by_beginning(
    rows: list[tuple[int, int]],
) -> None:
    """A fall to 1e-13 leaves 15 of the 28 digits."""
    worth = [row[0] for row in rows]
    assert total_return(values(*rows)) + 1 == pytest.approx(
        Decimal(worth[-1]) / worth[0], rel=Decimal("1e-12")
    )


@given(
    st.decimals("0.9", "1.1", places=4),
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 10**9)), min_size=1, max_size=6),
    st.integers(10, 40),
)
def test_money_weighted_return_of_constant_growth_is_that_growth(
    growth: Decimal, flows: list[tuple[int, int]], length: int
) -> None:
    """The time-weighted return is the same."""
    worth, rows = Decimal(10**12), []
    for n in range(1, length):
        paid = sum(amount for at, amount in flows if at == n)
        worth = (worth + paid) * growth
        rows.append(Valuation(day(n), round(worth), paid))
    valuations = [Valuation(FIRST, 10**12), *rows]

    found = money_weighted_return(valuations, since=FIRST, until=day(length - 1))

    assert found == pytest.approx(growth ** (length - 1) - 1, abs=Decimal("1e-9"))
    assert total_return(one.value for one in daily_returns(valuations)) == pytest.approx(
        found, abs=Decimal("1e-9")
    )


def test_money_weighted_return_weights_days_by_capital() -> None:
    """100 earn 10 %, then 1,100 lose 10 %: −1 % time-weighted, nearly −10 % money-weighted."""
    valuations = days((100, 0), (110, 0), (999, 1_000))

    found = money_weighted_return(valuations, since=day(0), until=day(2))

    assert total_return(one.value for one in daily_returns(valuations)) == Decimal("-0.01")
    # 100 x² + 1,000 x = 999, so x is (√(1,000² + 4 · 100 · 999) − 1,000) / 200.
    daily = (Decimal(1_000**2 + 4 * 100 * 999).sqrt() - 1_000) / 200
    assert found == pytest.approx(daily**2 - 1, abs=Decimal("1e-20"))


def test_money_weighted_return_of_a_total_loss() -> None:
    assert money_weighted_return(
        days((100, 0), (0, 0)), since=day(0), until=day(1)
    ) == pytest.approx(-1, abs=Decimal("1e-9"))


def test_money_weighted_return_without_a_solution() -> None:
    """A withdrawal on the day of the loss, and a later total loss: no rate explains this without
    debt.
    """
    never = money_weighted_return(days((100, 0), (0, -150), (1, 100)), since=day(0), until=day(2))
    assert never == Unavailable(UnavailableReason.NO_SINGLE_SOLUTION)
