"""PortOne tells the shop: what is signed by it is believed to be a hint, everything else is refused, and nothing that was told is lost."""

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
    """Status and body of the answer to a webhook that is so made."""
    [attempt] = stack.portone.control("webhooks/send", **members)["attempts"]
    return attempt["response"]["code"], attempt["response"]


def test_25_secret_rotation(stack_with: Callable[..., Any]) -> None:
    """While two are active either is believed; a secret that was put away is not, and the sweep finds what it would have told."""
    both = f"{NEW_SECRET},{PORTONE_DEVELOPMENT_WEBHOOK_SECRET}"
    with stack_with(portone_webhook_secrets=both) as stack:
        payer = Payer(stack)
        payer.pay()
        payer.told()
        payer.agree()
    with stack_with(portone_webhook_secrets=NEW_SECRET) as stack:
        payer = Payer(stack)
        payer.pay()
        payer.told()
        assert payer.gained == 0
        payer.look_later()
        payer.agree()


@pytest.mark.parametrize("tampering", Tampering)
def test_26_bad_signatures_400_each_nothing_enqueued(payer: Payer, tampering: Tampering) -> None:
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
def test_26_what_is_signed_but_odd_gets_a_clear_answer(
    payer: Payer, members: dict[str, Any], code: str
) -> None:
    """Nothing comes of it, and never a 5xx, which would have it sent again."""
    sent = {**members}
    if "octets" in sent:
        sent["octets"] = base64.b64encode(sent["octets"]).decode()
    assert send(payer.stack, **sent)[0] == code
    assert payer.stack.harness.sent == []


def test_26_a_paid_webhook_for_what_was_not_paid_credits_nothing(payer: Payer) -> None:
    """Signed correctly, as one that was sent to its payer's own address and handed on by him."""
    payer.prepare()
    payer.open(webhook="none")
    data = {"paymentId": payer.id, "storeId": payer.stack.harness.settings.portone_store_id}
    assert send(payer.stack, type="Transaction.Paid", data=data)[0] == "200"
    payer.stack.work()
    assert (payer.status, payer.gained) == ("PENDING", 0)


@contextmanager
def without_a_broker(stack: PaymentsStack) -> Iterator[str]:
    """The address for webhooks of another process of the API, whose wake-ups go to a broker that nobody listens on."""
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


def test_27_broker_down_the_webhook_is_taken_and_the_sweep_credits(payer: Payer) -> None:
    """In this house a webhook is remembered in the database, so it need not be sent again."""
    payer.pay(webhook="none")
    data = {"paymentId": payer.id, "storeId": payer.stack.harness.settings.portone_store_id}
    with without_a_broker(payer.stack) as url:
        assert send(payer.stack, data=data, url=url)[0] == "200"
    assert (payer.stack.harness.sent, payer.gained) == ([], 0)
    payer.stack.harness.clock.advance(seconds=5)
    payer.stack.sweep()
    payer.stack.work()
    assert payer.gained == AMOUNT
    payer.agree()


def test_27_database_down_webhook_503_then_the_retry_succeeds(
    server_uri: str, valkey_url: str
) -> None:
    """Somebody holds the payment's row for longer than is waited for it. SQLite has no such limit that is shorter than PortOne's patience."""
    with payments_stack(server_uri, valkey_url, database_timeout_s=3) as stack:
        payer = Payer(stack)
        payer.pay(webhook="hold")
        payments = PAYMENTS
        with stack.harness.core.database.engine.begin() as holding:
            holding.execute(update(payments).values(check_count=payments.c.check_count))
            payer.flush()
            assert payer.told_so_far()[-1]["attempts"][0]["response"]["code"] == "503"
        wait_until(
            lambda: payer.told_so_far()[-1]["state"] == "SUCCEEDED",
            what="the retry is taken",
        )
        stack.work()
        payer.agree()
