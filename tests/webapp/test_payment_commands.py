"""`flask payments`."""

from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result
from flask.cli import FlaskGroup

from tests.support.payments_stack import PaymentsStack, payments_stack


@pytest.fixture
def stack(migrated_sqlite: str, valkey_url: str) -> Iterator[PaymentsStack]:
    with payments_stack(migrated_sqlite, valkey_url) as stack:
        yield stack


def run(stack: PaymentsStack, *arguments: str) -> Result:
    return CliRunner().invoke(
        FlaskGroup(create_app=lambda: stack.api.app), ["payments", *arguments]
    )


def test_alert_is_listed_until_it_is_resolved(stack: PaymentsStack) -> None:
    who = stack.api.person()
    payment_id = stack.paid(who)
    stack.portone.move(payment_id, "chargeback", webhook="none")

    checked = run(stack, "check", payment_id)
    assert checked.exit_code == 0, checked.output
    assert f"{payment_id} CANCELLED: 10,000 won, 10,000 given back, 0 held" in checked.output
    assert "by CHARGEBACK: 10,000 won" in checked.output
    listed = run(stack, "alerts").output
    assert f"{payment_id} chargeback" in listed
    assert listed.endswith("1 open alerts.\n")
    assert run(stack, "resolve", payment_id, "--note", "  asked the\nbank ").output.endswith(
        "1 resolved.\n"
    )
    assert run(stack, "alerts").output.endswith("0 open alerts.\n")
    assert "resolved: asked the bank" in run(stack, "show", payment_id).output
    again = run(stack, "resolve", payment_id, "--note", "once more")
    assert (again.exit_code, again.output) == (1, "Error: This payment has no open alert.\n")


def test_stuck_refund_is_abandoned_after_a_check(stack: PaymentsStack) -> None:
    """Not while PortOne is silent; then its cash is released, once."""
    who = stack.api.person()
    payment_id = stack.paid(who)
    refund = stack.refund(who, payment_id, 4_000)
    stack.portone.inject_fault(method="GET", drop="before")
    arguments = ("give-up", refund["id"], "--note", "paid by transfer")
    silent = run(stack, *arguments)
    assert silent.exit_code == 1
    assert "it is unknown whether" in silent.output
    assert (
        "The refund is abandoned; its reserved cash is released." in run(stack, *arguments).output
    )
    assert stack.balance(who)["reserved_cash"] == 0
    assert "GIVEN_UP" in run(stack, "show", payment_id).output
    assert "already ended" in run(stack, *arguments).output
    assert stack.harness.breaches() == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", ".."),
        ("show", "0" * 31),
        ("show", "z" * 32),
        ("show", "0" * 32),
        ("check", "0" * 32),
        ("resolve", "0" * 32, "--note", " "),
        ("resolve", "0" * 32),
        ("give-up", "00000000-0000-7000-8000-000000000000", "--note", "x"),
        ("give-up", "0", "--note", "x"),
    ],
)
def test_unknown_ids_are_refused_in_a_sentence(
    stack: PaymentsStack, arguments: tuple[str, ...]
) -> None:
    """No traceback, and PortOne is not asked."""
    result = run(stack, *arguments)
    assert result.exit_code in (1, 2)
    assert "Error: " in result.output
    assert "Traceback" not in result.output
