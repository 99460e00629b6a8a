"""Decisions: one credit per payment as agreed, one reversal per cancellation, in any order."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures.portone import STATUSES, payment
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
from trading.payments.payment_terms import Mismatch, PaymentTerms, find_mismatches
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


def report_of(status: str, /, **members: Any) -> Report:
    return read_report(payment(status, **members))


def check(before: PaymentState, report: Report | None, *, now: datetime = IN_TIME) -> Decision:
    return decide(before, report, now=now)


def recorded(decision: Decision) -> tuple[int, dict[str, int]]:
    return decision.credit, {c.id: c.amount for c in decision.reversals}


ALERT, NOTHING, WAIT = PaymentAction.ALERT, PaymentAction.NOTHING, PaymentAction.WAIT
REPORTS: dict[str, Report | None] = {
    "404": None,
    "someone else's": report_of("PAID", id="tu00000000000000000000000000000f"),
    "odd sums": report_of("PARTIAL_CANCELLED", cancellations=[]),
    "REFUNDED": report_of("PAID", status="REFUNDED"),
    **{status: report_of(status) for status in STATUSES},
}
# PortOne's report; then action, alert and new state for a payment that is pending, expired and
# credited.
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
        pytest.param(before, REPORTS[name], expected, id=f"{before.status} and {name}")
        for name, *columns in ROWS
        for before, expected in zip((PENDING, EXPIRED, CREDITED), columns, strict=True)
    ],
)
def test_decision_table(
    before: PaymentState, report: Report | None, expected: tuple[PaymentAction, bool, str]
) -> None:
    """Each row of the table; balances change by a credit or reversals and by nothing else."""
    decision = check(before, report)

    assert (decision.action, decision.alert, str(decision.payment.status)) == expected
    assert decision.credit == (10_000 if expected[0] is PaymentAction.CREDIT else 0)
    returned = {
        "PARTIALLY_CANCELLED": {FIRST: 3_000},
        "CANCELLED": {FIRST: 3_000, SECOND: 7_000},
    }.get(expected[2], {})
    assert recorded(decision)[1] == decision.payment.reversed == returned


def test_rows_cover_every_state_and_finding() -> None:
    assert set(DECISIONS) == {
        (status, finding) for status in PaymentStatus for finding in PaymentFinding
    }
    assert {check(PENDING, REPORTS[name]).finding for name, *_ in ROWS} == set(PaymentFinding)
    assert set(REPORTS) == {name for name, *_ in ROWS}


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_rejected_payment_ignores_later_reports(report: Report | None) -> None:
    """Later reports record nothing and open no further alert."""
    rejected = check(PENDING, REPORTS["someone else's"]).payment
    decision = check(rejected, report, now=TOO_LATE)
    assert (decision.action, decision.alert, decision.payment.status) == (
        NOTHING,
        False,
        PaymentStatus.MISMATCHED,
    )
    assert recorded(decision) == (0, {})


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
def test_each_mismatch_rejects_the_payment(mismatch: Mismatch, members: dict[str, Any]) -> None:
    """Money may have arrived, but not as agreed: nothing is credited, and the mismatch is named."""
    for status in ("PAID", "PARTIAL_CANCELLED", "CANCELLED"):
        decision = check(PENDING, report_of(status, **members))
        assert (decision.action, decision.alert) == (PaymentAction.REJECT, True)
        assert decision.mismatches == {mismatch}
        assert recorded(decision) == (0, {})


@pytest.mark.parametrize("kind", ["TEST", "live", None, True])
def test_test_channel_is_a_mismatch_in_production(kind: object) -> None:
    """The browser chooses the channel, and a test channel reports PAID without money."""
    production = PaymentTerms(**{**AGREED, "test_channel_allowed": False})
    report = report_of("PAID", channel={**payment("PAID")["channel"], "type": kind})
    assert find_mismatches(production, report) == {Mismatch.TEST_CHANNEL}
    assert (
        find_mismatches(
            production, report_of("PAID", channel={**payment("PAID")["channel"], "type": "LIVE"})
        )
        == frozenset()
    )


@pytest.mark.parametrize("status", ["READY", "PAY_PENDING", "VIRTUAL_ACCOUNT_ISSUED", "FAILED"])
def test_forged_amount_is_ignored_until_it_is_paid(status: str) -> None:
    """Without money nothing is decided: the payer may start again as agreed."""
    forged = report_of(status, amount={**payment(status)["amount"], "total": 1})
    assert check(PENDING, forged).payment.status is PaymentStatus.PENDING


@pytest.mark.parametrize(
    ("field", "value"),
    [("payment_id", ".."), ("amount", 0), ("amount", -1), ("expires_at", datetime(2026, 1, 1))],  # noqa: DTZ001
)
def test_invalid_terms_raise(field: str, value: object) -> None:
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
def test_waiting_ends_at_expiry_or_when_nothing_is_pending_at_portone(
    name: str, until: datetime
) -> None:
    """Pending a microsecond earlier, expired then; a failure is recorded in both states."""
    report = REPORTS[name]
    assert wait_until(TERMS, report) == until
    before, at = (
        check(PENDING, report, now=until - timedelta(microseconds=1)),
        check(PENDING, report, now=until),
    )

    assert (before.payment.status, at.payment.status) == (
        PaymentStatus.PENDING,
        PaymentStatus.EXPIRED,
    )
    assert at.action is check(EXPIRED, report).action
    assert not at.alert


@pytest.mark.parametrize(
    ("expiry", "until"),
    [
        ("9999-12-31T00:00:00Z", EXPIRY + PENDING_AT_PORTONE_MAX),
        ("2025-01-01T00:00:00Z", EXPIRY),
        (None, EXPIRY),
    ],
)
def test_wait_for_a_virtual_account_is_bounded(expiry: str | None, until: datetime) -> None:
    """The browser chooses how long an account stays open."""
    method = {**payment("VIRTUAL_ACCOUNT_ISSUED")["method"], "expiredAt": expiry}
    assert wait_until(TERMS, report_of("VIRTUAL_ACCOUNT_ISSUED", method=method)) == until


def test_late_money_is_credited() -> None:
    """Long after the expiry, and also after a failure."""
    expired = check(PENDING, report_of("FAILED"), now=EXPIRY).payment
    assert recorded(check(expired, report_of("PAID"), now=TOO_LATE)) == (10_000, {})


def test_unknown_or_contradictory_report_keeps_the_payment_pending() -> None:
    """It does not expire, and is credited once a report is usable."""
    for name in ("odd sums", "REFUNDED"):
        waiting = check(PENDING, REPORTS[name], now=TOO_LATE)
        assert (waiting.payment.status, waiting.alert) == (PaymentStatus.PENDING, True)
        assert recorded(check(waiting.payment, report_of("PARTIAL_CANCELLED"))) == (
            10_000,
            {FIRST: 3_000},
        )


def test_older_report_does_not_override_a_newer_one() -> None:
    """READY after PAID opens no alert, while an older report of money still records it."""
    paid = check(PENDING, report_of("PAID")).payment
    late = check(paid, report_of("READY"))
    assert (late.action, late.alert, late.payment) == (NOTHING, False, paid)

    cancelled = check(
        paid, report_of("CANCELLED", cancellations=payment("CANCELLED")["cancellations"][1:])
    ).payment
    older = check(cancelled, report_of("PARTIAL_CANCELLED"))
    assert recorded(older) == (0, {FIRST: 3_000})
    assert older.payment.reported_at == cancelled.reported_at


def test_renamed_channel_does_not_block_a_chargeback() -> None:
    """The channel was checked at the credit; another store or amount is still rejected."""
    renamed = report_of("CANCELLED", channel={"type": "TEST", "key": "renamed"})
    assert recorded(check(CREDITED, renamed)) == (0, {FIRST: 3_000, SECOND: 7_000})
    foreign = check(CREDITED, report_of("CANCELLED", storeId="store-other"))
    assert (foreign.action, recorded(foreign)) == (ALERT, (0, {}))


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
def test_inconsistent_cancellations_credit_nothing(members: dict[str, Any]) -> None:
    """A credit could give away what was given back; a credited payment is still reversed."""
    report = report_of("CANCELLED", **members)
    assert recorded(check(PENDING, report)) == (0, {})
    after = check(CREDITED, report)
    assert after.alert
    assert after.payment.remaining_amount >= 0
    assert set(recorded(after)[1]) <= {FIRST, SECOND}


def test_requested_cancellation_reverses_nothing() -> None:
    requested = {**payment("PARTIAL_CANCELLED")["cancellations"][0], "status": "REQUESTED"}
    waiting = check(CREDITED, report_of("PAID", cancellations=[requested]))
    assert (waiting.action, recorded(waiting)) == (NOTHING, (0, {}))
    assert recorded(check(waiting.payment, report_of("PARTIAL_CANCELLED"))) == (0, {FIRST: 3_000})


def test_reversals_never_exceed_the_payment() -> None:
    """New ids for old cancellations would otherwise reverse the payment twice."""
    emptied = check(CREDITED, report_of("CANCELLED")).payment
    renamed = [
        {**c, "id": f"again-{n}"} for n, c in enumerate(payment("CANCELLED")["cancellations"])
    ]
    decision = check(emptied, report_of("CANCELLED", cancellations=renamed))
    assert (decision.alert, recorded(decision), decision.payment.remaining_amount) == (
        True,
        (0, {}),
        0,
    )


@pytest.mark.parametrize("before", [PENDING, CREDITED])
def test_dispute_opens_an_alert(before: PaymentState) -> None:
    """The money is still there, but the payer claims it back."""
    disputed = check(before, report_of("PAID", disputes=[{"status": "UNRESOLVED"}]))
    assert disputed.alert
    assert disputed.payment.status is PaymentStatus.CREDITED


@st.composite
def histories(draw: st.DrawFn) -> list[Report]:
    """Reports that a payment can have over its life: attempts, the money, and cancellations."""
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
def test_order_of_reports_does_not_change_the_ledger(
    data: st.DataObject, history: list[Report]
) -> None:
    """Late, repeated and in any order: one credit, and each cancellation once."""
    some: list[Report | None] = data.draw(st.lists(st.sampled_from([*history, None]), max_size=8))
    check_count = data.draw(st.permutations([*some, history[-1]]))
    state, came_in, reversals = PENDING, [], []
    for report in check_count:
        now = EXPIRY + timedelta(days=data.draw(st.integers(-1, 60)))
        decision = check(state, report, now=now)
        state = decision.payment
        came_in += [decision.credit] if decision.credit else []
        reversals += [(c.id, c.amount) for c in decision.reversals]

    assert came_in == [10_000]
    assert sorted(reversals) == sorted((c.id, c.amount) for c in history[-1].cancellations)
    assert state.remaining_amount == 10_000 - sum(amount for _, amount in reversals)
    assert state.status is check(PENDING, history[-1]).payment.status


@st.composite
def arbitrary_reports(draw: st.DrawFn) -> Report | None:
    """Any answer: any status, wrong sums, ids reused with other amounts."""
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
    reported = {
        c["id"]: c["totalAmount"] for c in reversed(cancellations) if c["status"] == "SUCCEEDED"
    }
    true_sum = sum(reported.values())
    amount = {
        "total": draw(st.sampled_from([10_000, 10_000, 10_000, 1])),
        "taxFree": 0,
        "cancelled": draw(st.sampled_from([true_sum, true_sum, 0, 10_000])),
    }
    status = draw(st.sampled_from([*STATUSES, "PAID", "NEW"]))
    second = draw(st.integers(0, 59))
    return report_of(
        draw(st.sampled_from(STATUSES)),
        status=status,
        cancellations=cancellations,
        amount=amount,
        updatedAt=f"2026-01-01T00:00:{second:02}Z",
    )


@given(st.lists(st.tuples(arbitrary_reports(), st.booleans()), max_size=12))
def test_ledger_invariants_hold_for_any_report(
    check_count: list[tuple[Report | None, bool]],
) -> None:
    """At most one credit, one reversal per id, nothing negative, no more reversed than credited."""
    state, times_credited, reversed_ids, balance = PENDING, 0, [], 0
    for report, late in check_count:
        decision = check(state, report, now=TOO_LATE if late else IN_TIME)
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
