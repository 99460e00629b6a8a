"""Reading PortOne's reports: complete where readable, never raising."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fixtures.portone import STATUSES, payment
from trading.payments.portone_payment import (
    AMOUNT_MAX,
    IDENTIFIER_LENGTH_MAX,
    TEXT_LENGTH_MAX,
    Cancellation,
    CancellationStatus,
    PortoneStatus,
    VirtualAccount,
    read_cancellation,
    read_report,
)

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)
MEMBERS = (*payment("CANCELLED"), "failure", "disputes")


def paid_with_amount(name: str, value: object) -> Any:
    return payment("PAID", amount={**payment("PAID")["amount"], name: value})


@pytest.mark.parametrize("status", STATUSES)
def test_each_status_is_read(status: str) -> None:
    """The members that decide about money and identify a payment are read in every status."""
    report = read_report(payment(status))

    assert report.status is PortoneStatus(status)
    assert report.payment_id == "tu0123456789abcdef0123456789abcd"
    assert report.store_id == "store-00000000-0000-4000-8000-000000000001"
    assert report.transaction_id == "019b7721-b400-f28f-9452-000000000001"
    assert (report.version, report.currency, report.total, report.tax_free) == (
        "V2",
        "KRW",
        10_000,
        0,
    )
    assert report.channel_type == "TEST"
    assert report.channel_key == "channel-key-00000000-0000-4000-8000-000000000001"
    assert report.updated_at is not None
    assert not report.is_disputed
    assert (report.virtual_account is not None) == (status == "VIRTUAL_ACCOUNT_ISSUED")
    assert (report.failure is not None) == (status == "FAILED")
    assert len(report.cancellations) == {"PARTIAL_CANCELLED": 1, "CANCELLED": 2}.get(status, 0)
    assert sum(cancellation.amount for cancellation in report.cancellations) == report.cancelled


def test_details_are_read() -> None:
    paid, failed = read_report(payment("PAID")), read_report(payment("FAILED"))
    account, cancelled = (
        read_report(payment("VIRTUAL_ACCOUNT_ISSUED")),
        read_report(payment("CANCELLED")),
    )

    assert paid.paid_at == datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC)
    assert paid.receipt_url == "http://127.0.0.1/receipt/pgtx-1"
    assert failed.failure == "[PAY_PROCESS_CANCELED] 사용자가 결제를 취소하였습니다"
    assert account.virtual_account == VirtualAccount(
        bank="KOOKMIN", number="X0000000000001", expires_at=datetime(2026, 1, 4, tzinfo=UTC)
    )
    assert cancelled.cancellations[1] == Cancellation(
        id="019b7f60-0000-e720-45fe-0000000000c2",
        status=CancellationStatus.SUCCEEDED,
        amount=7_000,
        reason="고객 요청",
        trigger="API",
    )


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T00:00:00.366979621Z", datetime(2026, 1, 1, 0, 0, 0, 366_979, tzinfo=UTC)),
        ("2026-01-01T09:00:00+09:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T00:00:00", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("yesterday", None),
        (1_767_225_600, None),
    ],
)
def test_times_may_have_any_fraction_and_need_an_offset(
    text: object, instant: datetime | None
) -> None:
    assert read_report(payment("PAID", updatedAt=text)).updated_at == instant


@pytest.mark.parametrize("value", [True, 10_000.0, "10000", -1, AMOUNT_MAX + 1, None, [10_000]])
def test_only_a_whole_number_is_an_amount(value: object) -> None:
    """A float or boolean counts as no amount, so nothing is recorded from it."""
    assert read_report(paid_with_amount("total", value)).total is None
    assert read_cancellation({"id": "c", "status": "SUCCEEDED", "totalAmount": value}) is None


@pytest.mark.parametrize(
    "value", ["", "a" * (IDENTIFIER_LENGTH_MAX + 1), "a\nb", "한글", 7, None, {}]
)
def test_identifier_is_printable_and_short(value: object) -> None:
    report = read_report(payment("PAID", id=value))
    assert report.payment_id is None
    assert read_cancellation({"id": value, "status": "SUCCEEDED", "totalAmount": 1}) is None


@pytest.mark.parametrize("status", ["PENDING", "REFUNDED", "paid", "", None, 7, [], {}])
def test_new_status_is_unknown(status: object) -> None:
    assert read_report(payment("PAID", status=status)).status is PortoneStatus.UNKNOWN
    cancellation = read_cancellation({"id": "c", "status": status, "totalAmount": 1})
    assert cancellation is not None
    assert cancellation.status is CancellationStatus.UNKNOWN


def test_new_members_change_nothing() -> None:
    """New members, methods and triggers, and null for absent members, leave the rest readable."""
    grown = payment(
        "PAID",
        method={"type": "PaymentMethodTelepathy"},
        channelGroup=None,
        disputes=None,
        aura="green",
    )
    old, new = read_report(payment("PAID")), read_report(grown)
    assert new == replace(old, method="PaymentMethodTelepathy")


@pytest.mark.parametrize(
    ("disputes", "disputed"),
    [
        ([], False),
        ([{"status": "RESOLVED"}], False),
        ([{"status": "UNRESOLVED"}], True),
        ([{"status": "NEW"}], True),
    ],
)
def test_dispute_lasts_until_resolved(disputes: list[object], disputed: bool) -> None:
    assert read_report(payment("PAID", disputes=disputes)).is_disputed is disputed


def test_receipt_must_be_a_web_address_and_texts_are_truncated() -> None:
    """Any other URL scheme could be a script in the page that shows it."""
    report = read_report(
        payment("FAILED", receiptUrl="javascript:alert(1)", failure={"reason": "x" * 10_000})
    )
    assert report.receipt_url is None
    assert report.failure == "x" * TEXT_LENGTH_MAX


def test_repeated_cancellation_id_counts_once() -> None:
    twice = payment("CANCELLED")["cancellations"] * 2
    report = read_report(payment("CANCELLED", cancellations=twice))
    assert [c.amount for c in report.succeeded_cancellations] == [3_000, 7_000]


@given(st.dictionaries(st.sampled_from(MEMBERS), ANYTHING), st.sampled_from(STATUSES))
def test_any_answer_gives_a_report(members: dict[str, object], status: str) -> None:
    """Any value in any member gives a report whose amounts are whole and not negative."""
    for document in (members, payment(status, **members)):
        report = read_report(document)
        amounts = [
            report.total,
            report.tax_free,
            report.cancelled,
            *(c.amount for c in report.cancellations),
        ]
        assert all(amount is None or (type(amount) is int and amount >= 0) for amount in amounts)
