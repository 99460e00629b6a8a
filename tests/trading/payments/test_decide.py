"""Money is credited once, for what was agreed, and given back once for each cancellation, in whatever order it is told."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures.portone import STATUSES, payment
from trading.payments.checks import Mismatch, PaymentTerms, find_mismatches
from trading.payments.decide import (
    DECISIONS,
    PENDING_AT_PORTONE_MAX,
    Decision,
    PaymentAction,
    PaymentFinding,
    PaymentState,
    decide,
    wait_until,
)
from trading.payments.model import PaymentStatus
from trading.payments.portone_payment import Report, read_report

EXPIRY = datetime(2026, 1, 1, 1, tzinfo=UTC)
IN_TIME, TOO_LATE = EXPIRY - timedelta(minutes=30), EXPIRY + PENDING_AT_PORTONE_MAX
AGREED: dict[str, Any] = {
    "payment_id": "tu0123456789abcdef0123456789abcd",
    "store_id": "store-00000000-0000-4000-8000-000000000001",
    "channel_keys": frozenset({"channel-key-00000000-0000-4000-8000-000000000001"}),
    "amount": 10_000,
    "expires_at": EXPIRY,
    "test_channel_allowed": True,
}
TERMS = PaymentTerms(**AGREED)
PENDING = PaymentState(terms=TERMS)
EXPIRED = PaymentState(terms=TERMS, status=PaymentStatus.EXPIRED)
CREDITED = PaymentState(terms=TERMS, status=PaymentStatus.CREDITED)
FIRST, SECOND = (c["id"] for c in payment("CANCELLED")["cancellations"])


def said(status: str, /, **members: Any) -> Report:
    return read_report(payment(status, **members))


def look(before: PaymentState, report: Report | None, *, now: datetime = IN_TIME) -> Decision:
    return decide(before, report, now=now)


def booked(decision: Decision) -> tuple[int, dict[str, int]]:
    return decision.credit, {c.id: c.amount for c in decision.reversals}


ALERT, NOTHING, WAIT = PaymentAction.ALERT, PaymentAction.NOTHING, PaymentAction.WAIT
LOOKS: dict[str, Report | None] = {
    "404": None,
    "someone else's": said("PAID", id="tu00000000000000000000000000000f"),
    "odd sums": said("PARTIAL_CANCELLED", cancellations=[]),
    "REFUNDED": said("PAID", status="REFUNDED"),
    **{status: said(status) for status in STATUSES},
}
# What PortOne says; then the action, whether a person is told, and the state after it, for a payment that is pending,
# expired and credited.
ROWS: list[
    tuple[
        str,
        tuple[PaymentAction, bool, str],
        tuple[PaymentAction, bool, str],
        tuple[PaymentAction, bool, str],
    ]
] = [
    ("404", (WAIT, False, "PENDING"), (NOTHING, False, "EXPIRED"), (ALERT, True, "CREDITED")),
    ("READY", (WAIT, False, "PENDING"), (NOTHING, False, "EXPIRED"), (ALERT, True, "CREDITED")),
    (
        "PAY_PENDING",
        (WAIT, False, "PENDING"),
        (NOTHING, False, "EXPIRED"),
        (ALERT, True, "CREDITED"),
    ),
    (
        "VIRTUAL_ACCOUNT_ISSUED",
        (PaymentAction.AWAIT_DEPOSIT, False, "PENDING"),
        (PaymentAction.CLOSE_ACCOUNT, False, "EXPIRED"),
        (ALERT, True, "CREDITED"),
    ),
    (
        "FAILED",
        (PaymentAction.RECORD_FAILURE, False, "PENDING"),
        (PaymentAction.RECORD_FAILURE, False, "EXPIRED"),
        (ALERT, True, "CREDITED"),
    ),
    (
        "PAID",
        (PaymentAction.CREDIT, False, "CREDITED"),
        (PaymentAction.CREDIT, False, "CREDITED"),
        (NOTHING, False, "CREDITED"),
    ),
    (
        "PARTIAL_CANCELLED",
        (PaymentAction.CREDIT, False, "PARTIALLY_CANCELLED"),
        (PaymentAction.CREDIT, False, "PARTIALLY_CANCELLED"),
        (PaymentAction.REVERSE, False, "PARTIALLY_CANCELLED"),
    ),
    (
        "CANCELLED",
        (PaymentAction.CREDIT, False, "CANCELLED"),
        (PaymentAction.CREDIT, False, "CANCELLED"),
        (PaymentAction.REVERSE, False, "CANCELLED"),
    ),
    (
        "someone else's",
        (PaymentAction.REJECT, True, "MISMATCHED"),
        (PaymentAction.REJECT, True, "MISMATCHED"),
        (ALERT, True, "CREDITED"),
    ),
    (
        "odd sums",
        (ALERT, True, "PENDING"),
        (ALERT, True, "EXPIRED"),
        (PaymentAction.REVERSE, True, "CREDITED"),
    ),
    ("REFUNDED", (ALERT, True, "PENDING"), (ALERT, True, "EXPIRED"), (ALERT, True, "CREDITED")),
]


@pytest.mark.parametrize(
    ("before", "report", "expected"),
    [
        pytest.param(before, LOOKS[name], expected, id=f"{before.status} and {name}")
        for name, *columns in ROWS
        for before, expected in zip((PENDING, EXPIRED, CREDITED), columns, strict=True)
    ],
)
def test_the_table(
    before: PaymentState, report: Report | None, expected: tuple[PaymentAction, bool, str]
) -> None:
    """Each row of the decision table; the books change by a credit or reversals and by nothing else."""
    decision = look(before, report)

    assert (decision.action, decision.alert, str(decision.payment.status)) == expected
    assert decision.credit == (10_000 if expected[0] is PaymentAction.CREDIT else 0)
    returned = {
        "PARTIALLY_CANCELLED": {FIRST: 3_000},
        "CANCELLED": {FIRST: 3_000, SECOND: 7_000},
    }.get(expected[2], {})
    assert booked(decision)[1] == decision.payment.reversed == returned


def test_the_rows_are_the_whole_table() -> None:
    """Every state has an action for every finding, and the rows above cause every finding."""
    assert set(DECISIONS) == {
        (status, finding) for status in PaymentStatus for finding in PaymentFinding
    }
    assert {look(PENDING, LOOKS[name]).finding for name, *_ in ROWS} == set(PaymentFinding)
    assert set(LOOKS) == {name for name, *_ in ROWS}


@pytest.mark.parametrize("report", LOOKS.values(), ids=LOOKS)
def test_a_rejected_payment_waits_for_a_person(report: Report | None) -> None:
    """Whatever is said of it later books nothing and calls nobody again."""
    rejected = look(PENDING, LOOKS["someone else's"]).payment
    decision = look(rejected, report, now=TOO_LATE)
    assert (decision.action, decision.alert, decision.payment.status) == (
        NOTHING,
        False,
        PaymentStatus.MISMATCHED,
    )
    assert booked(decision) == (0, {})


WRONG: list[tuple[Mismatch, dict[str, Any]]] = [
    (Mismatch.PAYMENT_ID, {"id": "tu00000000000000000000000000000f"}),
    (Mismatch.PAYMENT_ID, {"id": None}),
    (Mismatch.STORE, {"storeId": "store-00000000-0000-4000-8000-000000000002"}),
    (Mismatch.VERSION, {"version": "V1"}),
    *(
        (Mismatch.AMOUNT, {"amount": {**payment("PAID")["amount"], "total": total}})
        for total in (9_999, 10_001, 10_000.0, "10000", True, None)
    ),
    (Mismatch.AMOUNT, {"amount": {**payment("PAID")["amount"], "total": 1, "paid": 10_000}}),
    (Mismatch.CURRENCY, {"currency": "JPY"}),
    (Mismatch.TAX_FREE_AMOUNT, {"amount": {**payment("PAID")["amount"], "taxFree": 1}}),
    (Mismatch.TAX_FREE_AMOUNT, {"amount": {**payment("PAID")["amount"], "taxFree": False}}),
    (Mismatch.CHANNEL, {"channel": {**payment("PAID")["channel"], "key": "channel-key-other"}}),
    (Mismatch.CHANNEL, {"channel": {"type": "TEST"}}),
]


@pytest.mark.parametrize(
    ("mismatch", "members"), WRONG, ids=[f"{m} {list(w.values())}" for m, w in WRONG]
)
def test_a_single_difference_keeps_the_money_out(
    mismatch: Mismatch, members: dict[str, Any]
) -> None:
    """The money may have come, but not for what was agreed: the payment is rejected, and why is told."""
    for status in ("PAID", "PARTIAL_CANCELLED", "CANCELLED"):
        decision = look(PENDING, said(status, **members))
        assert (decision.action, decision.alert) == (PaymentAction.REJECT, True)
        assert decision.mismatches == {mismatch}
        assert booked(decision) == (0, {})


@pytest.mark.parametrize("kind", ["TEST", "live", None, True])
def test_a_test_channel_is_no_money_in_production(kind: object) -> None:
    """The browser chooses the channel, and a test channel says PAID to everybody."""
    production = PaymentTerms(**{**AGREED, "test_channel_allowed": False})
    report = said("PAID", channel={**payment("PAID")["channel"], "type": kind})
    assert find_mismatches(production, report) == {Mismatch.TEST_CHANNEL}
    assert (
        find_mismatches(
            production, said("PAID", channel={**payment("PAID")["channel"], "type": "LIVE"})
        )
        == frozenset()
    )


@pytest.mark.parametrize("status", ["READY", "PAY_PENDING", "VIRTUAL_ACCOUNT_ISSUED", "FAILED"])
def test_a_forged_amount_is_no_mismatch_until_it_is_paid(status: str) -> None:
    """Without money nothing is decided: the payer may close the window and begin again as agreed."""
    forged = said(status, amount={**payment(status)["amount"], "total": 1})
    assert look(PENDING, forged).payment.status is PaymentStatus.PENDING


@pytest.mark.parametrize(
    ("field", "value"),
    [("payment_id", ".."), ("amount", 0), ("amount", -1), ("expires_at", datetime(2026, 1, 1))],  # noqa: DTZ001
)
def test_terms_that_nobody_can_agree_on_are_a_fault(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=r"payment|offset"):
        PaymentTerms(**{**AGREED, field: value})


@pytest.mark.parametrize(
    ("name", "until"),
    [
        ("404", EXPIRY),
        ("READY", EXPIRY),
        ("FAILED", EXPIRY),
        ("VIRTUAL_ACCOUNT_ISSUED", datetime(2026, 1, 4, tzinfo=UTC)),
        ("PAY_PENDING", EXPIRY + PENDING_AT_PORTONE_MAX),
    ],
)
def test_waiting_ends_at_the_expiry_or_when_portone_has_nothing_under_way(
    name: str, until: datetime
) -> None:
    """One microsecond before it the payment is pending, at it expired; whether it failed is recorded at either."""
    report = LOOKS[name]
    assert wait_until(TERMS, report) == until
    before, at = (
        look(PENDING, report, now=until - timedelta(microseconds=1)),
        look(PENDING, report, now=until),
    )

    assert (before.payment.status, at.payment.status) == (
        PaymentStatus.PENDING,
        PaymentStatus.EXPIRED,
    )
    assert at.action is look(EXPIRED, report).action
    assert not at.alert


@pytest.mark.parametrize(
    ("expiry", "until"),
    [
        ("9999-12-31T00:00:00Z", EXPIRY + PENDING_AT_PORTONE_MAX),
        ("2025-01-01T00:00:00Z", EXPIRY),
        (None, EXPIRY),
    ],
)
def test_an_account_is_not_waited_for_for_ever(expiry: str | None, until: datetime) -> None:
    """How long an account stays open is the browser's choice."""
    method = {**payment("VIRTUAL_ACCOUNT_ISSUED")["method"], "expiredAt": expiry}
    assert wait_until(TERMS, said("VIRTUAL_ACCOUNT_ISSUED", method=method)) == until


def test_money_that_comes_late_is_money() -> None:
    """A payment is credited long after its expiry, also from a failure."""
    expired = look(PENDING, said("FAILED"), now=EXPIRY).payment
    assert booked(look(expired, said("PAID"), now=TOO_LATE)) == (10_000, {})


def test_what_is_unknown_or_at_odds_is_looked_at_again() -> None:
    """A payment does not expire while PortOne says what we do not understand; once it is understood it is credited."""
    for name in ("odd sums", "REFUNDED"):
        waiting = look(PENDING, LOOKS[name], now=TOO_LATE)
        assert (waiting.payment.status, waiting.alert) == (PaymentStatus.PENDING, True)
        assert booked(look(waiting.payment, said("PARTIAL_CANCELLED"))) == (10_000, {FIRST: 3_000})


def test_an_older_look_does_not_undo_a_newer_one() -> None:
    """The answer READY that arrives after PAID was taken in alarms nobody, while an older one that tells of money still books it."""
    paid = look(PENDING, said("PAID")).payment
    late = look(paid, said("READY"))
    assert (late.action, late.alert, late.payment) == (NOTHING, False, paid)

    cancelled = look(
        paid, said("CANCELLED", cancellations=payment("CANCELLED")["cancellations"][1:])
    ).payment
    older = look(cancelled, said("PARTIAL_CANCELLED"))
    assert booked(older) == (0, {FIRST: 3_000})
    assert older.payment.reported_at == cancelled.reported_at


def test_a_renamed_channel_keeps_no_chargeback_out() -> None:
    """The channel was judged at the credit; what another store or another amount says is still not believed."""
    renamed = said("CANCELLED", channel={"type": "TEST", "key": "renamed"})
    assert booked(look(CREDITED, renamed)) == (0, {FIRST: 3_000, SECOND: 7_000})
    foreign = look(CREDITED, said("CANCELLED", storeId="store-other"))
    assert (foreign.action, booked(foreign)) == (ALERT, (0, {}))


@pytest.mark.parametrize(
    "members",
    [
        {"amount": {**payment("CANCELLED")["amount"], "cancelled": 9_999}},
        {"cancellations": payment("CANCELLED")["cancellations"][:1]},
        {
            "cancellations": [
                *payment("CANCELLED")["cancellations"],
                {"id": "c3", "status": "SUCCEEDED", "totalAmount": 1},
            ]
        },
        {"status": "PAID"},
        {"status": "PARTIAL_CANCELLED"},
        {
            "cancellations": [
                {**c, "status": "REQUESTED"} for c in payment("CANCELLED")["cancellations"]
            ]
        },
    ],
)
def test_cancellations_that_do_not_add_up_credit_nothing(members: dict[str, Any]) -> None:
    """Crediting the whole could give away what was given back; what a credited payment gave back is taken all the same."""
    report = said("CANCELLED", **members)
    assert booked(look(PENDING, report)) == (0, {})
    after = look(CREDITED, report)
    assert after.alert
    assert after.payment.remaining_amount >= 0
    assert set(booked(after)[1]) <= {FIRST, SECOND}


def test_a_requested_cancellation_moves_nothing_yet() -> None:
    requested = {**payment("PARTIAL_CANCELLED")["cancellations"][0], "status": "REQUESTED"}
    waiting = look(CREDITED, said("PAID", cancellations=[requested]))
    assert (waiting.action, booked(waiting)) == (NOTHING, (0, {}))
    assert booked(look(waiting.payment, said("PARTIAL_CANCELLED"))) == (0, {FIRST: 3_000})


def test_more_than_was_paid_is_never_given_back() -> None:
    """New ids for old cancellations would empty the account twice."""
    emptied = look(CREDITED, said("CANCELLED")).payment
    renamed = [
        {**c, "id": f"again-{n}"} for n, c in enumerate(payment("CANCELLED")["cancellations"])
    ]
    decision = look(emptied, said("CANCELLED", cancellations=renamed))
    assert (decision.alert, booked(decision), decision.payment.remaining_amount) == (
        True,
        (0, {}),
        0,
    )


@pytest.mark.parametrize("before", [PENDING, CREDITED])
def test_a_dispute_is_told_to_a_person(before: PaymentState) -> None:
    """The money is still there, but somebody wants it back."""
    disputed = look(before, said("PAID", disputes=[{"status": "UNRESOLVED"}]))
    assert disputed.alert
    assert disputed.payment.status is PaymentStatus.CREDITED


@st.composite
def histories(draw: st.DrawFn) -> list[Report]:
    """The looks that a payment allows over its life: attempts, the money, and cancellations until something or nothing is left."""
    begun = draw(
        st.lists(
            st.sampled_from(["READY", "FAILED", "PAY_PENDING", "VIRTUAL_ACCOUNT_ISSUED"]),
            max_size=4,
        )
    )
    parts = draw(
        st.lists(st.integers(1, 4_000), max_size=5).filter(lambda parts: sum(parts) <= 10_000)
    )
    if draw(st.booleans()) and sum(parts) < 10_000:
        parts.append(10_000 - sum(parts))
    documents = [payment(status) for status in begun] + [payment("PAID")]
    done: list[dict[str, Any]] = []
    for number, part in enumerate(parts):
        done = [*done, {"id": f"c{number}", "status": "SUCCEEDED", "totalAmount": part}]
        returned = sum(parts[: number + 1])
        status = "CANCELLED" if returned == 10_000 else "PARTIAL_CANCELLED"
        amount = {**payment(status)["amount"], "cancelled": returned}
        documents.append(payment(status, cancellations=done, amount=amount))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return [
        read_report({**document, "updatedAt": (start + timedelta(seconds=second)).isoformat()})
        for second, document in enumerate(documents)
    ]


@given(st.data(), histories())
def test_the_order_of_the_looks_changes_nothing_in_the_books(
    data: st.DataObject, history: list[Report]
) -> None:
    """Late, twice and in any order: once the newest look is among them, the books hold one credit and each cancellation once."""
    some: list[Report | None] = data.draw(st.lists(st.sampled_from([*history, None]), max_size=8))
    check_count = data.draw(st.permutations([*some, history[-1]]))
    state, came_in, reversals = PENDING, [], []
    for report in check_count:
        now = EXPIRY + timedelta(days=data.draw(st.integers(-1, 60)))
        decision = look(state, report, now=now)
        state = decision.payment
        came_in += [decision.credit] if decision.credit else []
        reversals += [(c.id, c.amount) for c in decision.reversals]

    assert came_in == [10_000]
    assert sorted(reversals) == sorted((c.id, c.amount) for c in history[-1].cancellations)
    assert state.remaining_amount == 10_000 - sum(amount for _, amount in reversals)
    assert state.status is look(PENDING, history[-1]).payment.status


@st.composite
def lies(draw: st.DrawFn) -> Report | None:
    """Anything that an answer could say: any status, sums that fit nothing, ids that come again with another amount."""
    if draw(st.booleans()) and draw(st.booleans()):
        return None
    cancellations = draw(
        st.lists(
            st.fixed_dictionaries(
                {
                    "id": st.sampled_from(["c1", "c2", "c3", "c4"]),
                    "status": st.sampled_from(
                        ["SUCCEEDED", "SUCCEEDED", "REQUESTED", "FAILED", "NEW"]
                    ),
                    "totalAmount": st.sampled_from([0, 1, 3_000, 7_000, 10_000, -5]),
                }
            ),
            max_size=4,
        )
    )
    told = {
        c["id"]: c["totalAmount"] for c in reversed(cancellations) if c["status"] == "SUCCEEDED"
    }
    true_sum = sum(told.values())
    amount = {
        "total": draw(st.sampled_from([10_000, 10_000, 10_000, 1])),
        "taxFree": 0,
        "cancelled": draw(st.sampled_from([true_sum, true_sum, 0, 10_000])),
    }
    status = draw(st.sampled_from([*STATUSES, "PAID", "NEW"]))
    second = draw(st.integers(0, 59))
    return said(
        draw(st.sampled_from(STATUSES)),
        status=status,
        cancellations=cancellations,
        amount=amount,
        updatedAt=f"2026-01-01T00:00:{second:02}Z",
    )


@given(st.lists(st.tuples(lies(), st.booleans()), max_size=12))
def test_whatever_is_said_the_books_hold(check_count: list[tuple[Report | None, bool]]) -> None:
    """One credit at most, a cancellation's id once at most, nothing negative, and never more given back than came in."""
    state, times_credited, reversed_ids, balance = PENDING, 0, [], 0
    for report, late in check_count:
        decision = look(state, report, now=TOO_LATE if late else IN_TIME)
        state = decision.payment
        times_credited += decision.credit > 0
        balance += decision.credit - sum(c.amount for c in decision.reversals)
        reversed_ids += [c.id for c in decision.reversals]

        assert decision.credit in (0, 10_000)
        assert all(c.amount > 0 for c in decision.reversals)
        assert times_credited <= 1
        assert len(reversed_ids) == len(set(reversed_ids))
        assert set(reversed_ids) == set(state.reversed)
        assert balance == (state.remaining_amount if state.status.is_credited else 0)
        assert 0 <= balance <= 10_000
        assert (state.status is PaymentStatus.CANCELLED) == (times_credited == 1 and balance == 0)
