"""Payments with a real worker: credits and refunds happen once, even after a kill."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from sqlalchemy import text

import celery_config
from tests.support.payments_stack import PaymentsStack, payments_stack
from tests.support.servers import wait_until
from tests.support.trading_harness import TradingHarness
from tests.trading.orders.steps import rows
from tests.webapp.client import api_on
from tests.workers.processes import CeleryProcess, worker
from tests.workers.scraped_metrics import ScrapedMetrics
from trading import bootstrap as trading_core
from trading.config.settings import Settings
from trading.db.clock import utc_now
from trading.tasks import Task
from webapp.background_sender import background_dispatcher, background_publisher


@pytest.fixture
def stack(server_uri: str, valkey_url: str) -> Iterator[PaymentsStack]:
    """The payments stack, with tasks dispatched to a broker."""
    with payments_stack(server_uri, valkey_url, sweep_period_s=1, wake_grace_ms=500) as stack:
        settings = stack.harness.settings
        core = trading_core.build(
            settings, deliver=background_dispatcher(settings), publishing=background_publisher
        )
        try:
            stack.harness = TradingHarness(core, utc_now, stack.harness.sent)
            stack.api = api_on(stack.harness)
            yield stack
        finally:
            core.close()


def payments_worker(log: Path, settings: Settings, **environment: str) -> CeleryProcess:
    """Return a worker for the payment queues and the sweep."""
    queues = "payments.verify,payments.refund,maintenance"
    return worker(
        log,
        settings,
        queues=queues,
        PORTONE_API_BASE_URL=settings.portone_api_base_url,
        **environment,
    )


def sweep(settings: Settings) -> None:
    """Run the periodic sweep once."""
    producer = Celery("stocking", set_as_current=False)
    producer.conf.update(celery_config.producer(settings))
    with producer:
        producer.send_task(
            Task.SWEEP_PAYMENTS, queue="maintenance", retry=False, ignore_result=True
        )


def refund_status(stack: PaymentsStack) -> str:
    return str(rows(stack.harness, "SELECT status FROM payment_refunds")[0]["status"])


def test_a_worker_credits_and_refunds(stack: PaymentsStack, tmp_path: Path) -> None:
    """Started by the browser or, if the message was lost, by the sweep; each is counted once."""
    who, metrics = stack.api.person(), ScrapedMetrics()
    dispatched, undispatched = stack.prepare(who), stack.prepare(who)
    with payments_worker(tmp_path / "payments.log", stack.harness.settings, **metrics.environment):
        for payment_id in (dispatched, undispatched):
            stack.portone.open(payment_id, 10_000, webhook="none")
            stack.portone.move(payment_id, "pay", webhook="none")
        stack.complete(who, dispatched)
        credited = ("CREDITED", 10_000)
        wait_until(lambda: shown(stack, who, dispatched) == credited, what="the credit")
        make_due(stack, "payments")
        sweep(stack.harness.settings)
        wait_until(
            lambda: shown(stack, who, undispatched) == credited,
            what="the sweep's credit",
        )
        stack.refund(who, dispatched, 4_000)
        wait_until(lambda: refund_status(stack) == "SUCCEEDED", what="the refund")
        wait_until(
            lambda: metrics.of("refunds_finished_total", "SUCCEEDED"), what="the refund's count"
        )
        assert metrics.of("payment_checks_total", "credit") == 2
        assert metrics.of("refunds_finished_total", "SUCCEEDED") == 1
    assert stack.balance(who)["cash_balance"] == 10_016_000
    assert stack.harness.breaches() == []


def test_a_worker_killed_during_a_refund_refunds_once(stack: PaymentsStack, tmp_path: Path) -> None:
    """PortOne continues. The next worker checks before it asks again with the same key."""
    who = stack.api.person()
    payment_id = stack.prepare(who)
    stack.portone.open(payment_id, 10_000, webhook="none")
    stack.portone.move(payment_id, "pay", webhook="none")
    with payments_worker(tmp_path / "first.log", stack.harness.settings) as first:
        stack.complete(who, payment_id)
        wait_until(
            lambda: shown(stack, who, payment_id)[0] == "CREDITED",
            what="the credit",
        )
        stack.portone.inject_fault(method="POST", path=".*/cancel", delay_ms=2_000)
        stack.refund(who, payment_id, 4_000)
        wait_until(lambda: sent(stack) == 1, what="the request to PortOne")
        first.kill()
    assert refund_status(stack) == "REQUESTED"
    assert stack.balance(who)["reserved_cash"] == 4_000
    with payments_worker(tmp_path / "second.log", stack.harness.settings):
        calls = count()

        def is_refunded() -> bool:
            # Run the sweep every second; what a task has postponed is due again by the next.
            if next(calls) % 50 == 0:
                make_due(stack, "payment_refunds")
                sweep(stack.harness.settings)
            return refund_status(stack) == "SUCCEEDED"

        wait_until(is_refunded, what="the refund")
    assert len(stack.portone.payments()[payment_id]["cancellations"]) == 1
    assert stack.balance(who)["cash_balance"] == 10_006_000
    assert stack.harness.breaches() == []


def sent(stack: PaymentsStack) -> int:
    return int(rows(stack.harness, "SELECT send_count FROM payment_refunds")[0]["send_count"])


def shown(stack: PaymentsStack, who: Any, payment_id: str) -> tuple[str, int]:
    payment = stack.payment(who, payment_id)
    return payment["status"], payment["refundable_amount"]


def make_due(stack: PaymentsStack, table: str) -> None:
    """Set the next attempt of postponed rows to now."""
    change = text(f"UPDATE {table} SET next_attempt_at = :at WHERE next_attempt_at IS NOT NULL")
    at = utc_now().replace(tzinfo=None)
    stack.harness.do(lambda session: session.execute(change, {"at": at}))
