"""Webhooks: signed ones cause a check, all others are refused, and none is lost."""

import base64
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import update
from werkzeug.serving import make_server

from launcher.ports import free_port
from sandbox.portone.faults import Tampering
from tests.fixtures.portone import WEBHOOKS
from tests.scenarios.payer import AMOUNT, Payer
from tests.support.payments_stack import PaymentsStack, payments_stack
from tests.support.servers import wait_until
from trading import bootstrap as trading_core
from trading.config.settings import PORTONE_DEVELOPMENT_WEBHOOK_SECRET
from trading.payments.tables import PAYMENTS
from webapp import create_app
from webapp.background_sender import background_dispatcher

NEW_SECRET = WEBHOOKS["secrets"]["S1"]
NO_FAULTS = {Tampering.TITLE_CASE, Tampering.GARBAGE_FIRST}


@pytest.fixture
def stack_with(database_uri: str, valkey_url: str) -> Callable[..., Any]:
    return lambda **changed: payments_stack(database_uri, valkey_url, **changed)


def send(stack: PaymentsStack, **members: Any) -> tuple[str, dict[str, Any]]:
    """Send a webhook with these members and return the answer's status and body."""
    [attempt] = stack.portone.control("webhooks/send", **members)["attempts"]
    return attempt["response"]["code"], attempt["response"]


def test_25_secret_rotation(stack_with: Callable[..., Any]) -> None:
    """Both secrets are accepted while active; later the sweep replaces refused webhooks."""
    both = f"{NEW_SECRET},{PORTONE_DEVELOPMENT_WEBHOOK_SECRET}"
    with stack_with(portone_webhook_secrets=both) as stack:
        payer = Payer(stack)
        payer.pay()
        payer.all_webhooks()
        payer.assert_consistent()
    with stack_with(portone_webhook_secrets=NEW_SECRET) as stack:
        payer = Payer(stack)
        payer.pay()
        payer.all_webhooks()
        assert payer.gained == 0
        payer.wait_for_sweep()
        payer.assert_consistent()


@pytest.mark.parametrize("tampering", Tampering)
def test_26_invalid_signature_gives_400_and_no_task(payer: Payer, tampering: Tampering) -> None:
    payer.pay(webhook="none")
    data = {"paymentId": payer.id, "storeId": payer.stack.harness.settings.portone_store_id}
    code, answer = send(payer.stack, data=data, tampering=tampering)
    if tampering in NO_FAULTS:
        assert (code, len(payer.stack.harness.sent)) == ("200", 1)
        return
    assert code == "400"
    assert '"webhook-refused"' in answer["body"]
    assert payer.stack.harness.sent == []


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"type": "BillingKey.Issued", "data": {"billingKey": "b"}}, "200"),
        ({"type": "Transaction.SomethingNew", "data": {"paymentId": "f" * 32}}, "200"),
        ({"data": {"paymentId": "f" * 32, "storeId": "store-of-another"}}, "200"),
        ({"data": None}, "200"),
        ({"data": [1]}, "200"),
        ({"octets": b"[]"}, "400"),
        ({"octets": b"\xff\xfe"}, "400"),
        ({"octets": b"payment_id=1", "content_type": "application/x-www-form-urlencoded"}, "415"),
        ({"octets": b'{"type":"' + b"x" * 1_000_000 + b'"}'}, "413"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_26_signed_but_unusable_webhook_gives_a_clear_answer(
    payer: Payer, members: dict[str, Any], code: str
) -> None:
    """It has no effect, and no 5xx, after which PortOne would send it again."""
    sent = {**members}
    if "octets" in sent:
        sent["octets"] = base64.b64encode(sent["octets"]).decode()
    assert send(payer.stack, **sent)[0] == code
    assert payer.stack.harness.sent == []


def test_26_paid_webhook_for_an_unpaid_payment_credits_nothing(payer: Payer) -> None:
    """Signed correctly, such as one sent to the payer's own address and forwarded."""
    payer.prepare()
    payer.open(webhook="none")
    data = {"paymentId": payer.id, "storeId": payer.stack.harness.settings.portone_store_id}
    assert send(payer.stack, type="Transaction.Paid", data=data)[0] == "200"
    payer.stack.work()
    assert (payer.status, payer.gained) == ("PENDING", 0)


@contextmanager
def without_a_broker(stack: PaymentsStack) -> Iterator[str]:
    """Yield the webhook address of another API process, whose broker is unreachable."""
    away = SecretStr(f"redis://127.0.0.1:{free_port()}/0")
    settings = stack.harness.settings.model_copy(update={"celery_broker_url": away})
    core = trading_core.build(
        settings, deliver=background_dispatcher(settings), clock=stack.harness.clock
    )
    server = make_server("127.0.0.1", 0, create_app(core), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/v1/payments/portone/webhook"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        core.close()


def test_27_broker_down_webhook_is_accepted_and_the_sweep_credits(payer: Payer) -> None:
    """The webhook is recorded in the database, so it need not be sent again."""
    payer.pay(webhook="none")
    data = {"paymentId": payer.id, "storeId": payer.stack.harness.settings.portone_store_id}
    with without_a_broker(payer.stack) as url:
        assert send(payer.stack, data=data, url=url)[0] == "200"
    assert (payer.stack.harness.sent, payer.gained) == ([], 0)
    payer.stack.harness.clock.advance(seconds=5)
    payer.stack.sweep()
    payer.stack.work()
    assert payer.gained == AMOUNT
    payer.assert_consistent()


def test_27_database_down_webhook_503_then_the_retry_succeeds(
    server_uri: str, valkey_url: str
) -> None:
    """The payment's row stays locked beyond the timeout; SQLite's is longer than PortOne's."""
    with payments_stack(server_uri, valkey_url, database_timeout_s=3) as stack:
        payer = Payer(stack)
        payer.pay(webhook="hold")
        payments = PAYMENTS
        with stack.harness.core.database.engine.begin() as holding:
            holding.execute(update(payments).values(check_count=payments.c.check_count))
            payer.flush()
            assert payer.webhooks()[-1]["attempts"][0]["response"]["code"] == "503"
        wait_until(
            lambda: payer.webhooks()[-1]["state"] == "SUCCEEDED",
            what="the retry is taken",
        )
        stack.work()
        payer.assert_consistent()
