"""Requests of the PortOne client and the interpretation of the answers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.fixtures.portone import STATUSES, cancel_answer, payment
from tests.support.http_server import Answer, Ending, Reply, Request, Server, answer, serving
from trading.payments.portone.client import PortoneClient, Requester
from trading.payments.portone.errors import (
    PortoneApiError,
    PortoneProtocolError,
    PortoneTransportError,
)
from trading.payments.portone_payment import (
    Cancellation,
    CancellationStatus,
    PortoneStatus,
    read_report,
)

ID = "0123456789abcdef0123456789abcdef"
KEY = "7c1fb2d4-5f8e-4a53-9b0a-3f1c7f5e2a10"
SECRET = "made-up-portone-api-secret"
STORE = "store-00000000-0000-4000-8000-000000000001"
REFUND: dict[str, Any] = {
    "amount": 3_000,
    "cancellable": 10_000,
    "reason": "고객 환불",
    "requester": Requester.CUSTOMER,
    "idempotency_key": KEY,
}


@contextmanager
def client_of(reply: Reply, *, path: str = "") -> Iterator[tuple[PortoneClient, Server]]:
    """A client and a server that gives this reply."""
    with (
        serving(reply) as server,
        PortoneClient(api_url=server.url + path, api_secret=SECRET, store_id=STORE) as client,
    ):
        yield client, server


@pytest.mark.parametrize("status", STATUSES)
def test_payment_of_each_status_is_returned(status: str) -> None:
    with client_of(lambda _: answer(200, payment(status))) as (client, _):
        assert client.get_payment(ID) == read_report(payment(status))


def test_payment_with_new_values_is_returned() -> None:
    """A new status, method or member leaves the amount readable."""
    new = payment(
        "PAID", status="SETTLED", method={"type": "PaymentMethodTelepathy"}, aura=["green"]
    )
    with client_of(lambda _: answer(200, new)) as (client, _):
        report = client.get_payment(ID)
        assert report is not None
        assert (report.status, report.total) == (PortoneStatus.UNKNOWN, 10_000)


@pytest.mark.parametrize("path", ["", "/", "/v2/"])
def test_requests_name_the_store_and_are_authorized(path: str) -> None:
    """Without the store PortOne uses the secret's default store, whose payments are not ours."""
    with client_of(lambda _: answer(200, payment("PAID")), path=path) as (client, server):
        client.get_payment(ID)
    [request] = server.requests
    address = urlsplit(request.target)
    assert (request.method, address.path) == ("GET", f"{path.rstrip('/')}/payments/{ID}")
    assert parse_qs(address.query) == {"storeId": [STORE]}
    assert request.headers["authorization"] == f"PortOne {SECRET}"
    assert request.headers["accept-encoding"] == "identity"
    assert "idempotency-key" not in request.headers


def test_netrc_file_does_not_replace_our_authorization(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """requests prefers a matching netrc entry to a given header."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with client_of(lambda _: answer(200, payment("PAID"))) as (client, server):
        client.get_payment(ID)
    assert server.requests[0].headers["authorization"] == f"PortOne {SECRET}"


def test_missing_payment_is_none() -> None:
    with client_of(lambda _: answer(404, {"type": "PAYMENT_NOT_FOUND", "message": "없음"})) as (
        client,
        _,
    ):
        assert client.get_payment(ID) is None


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (answer(404, octets=b"<html>404</html>", Content_Type="text/html"), PortoneProtocolError),
        (answer(404, {"message": "no such page"}), PortoneProtocolError),
        (answer(404, {"type": "STORE_NOT_FOUND"}), PortoneApiError),
        (answer(410, {"type": "PAYMENT_NOT_FOUND"}), PortoneApiError),
    ],
)
def test_404_of_a_proxy_is_an_error(given: Answer, error: type[Exception]) -> None:
    """A proxy without its upstream must not make every payment look unstarted."""
    with client_of(lambda _: given) as (client, _), pytest.raises(error):
        client.get_payment(ID)


def test_pre_registration_pins_the_amount() -> None:
    with client_of(lambda _: answer(200, {})) as (client, server):
        client.pre_register(ID, amount=10_000)
    [request] = server.requests
    assert (request.method, request.target) == ("POST", f"/payments/{ID}/pre-register")
    assert request.members == {"storeId": STORE, "totalAmount": 10_000, "currency": "KRW"}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == f"PortOne {SECRET}"


def test_virtual_account_is_closed() -> None:
    with client_of(lambda _: answer(200, {"closedAt": "2026-01-01T00:00:00Z"})) as (client, server):
        client.close_virtual_account(ID)
    [request] = server.requests
    assert (request.method, request.target) == (
        "POST",
        f"/payments/{ID}/virtual-account/close?storeId={STORE}",
    )
    assert request.body == b""


def test_cancellation_sends_amount_and_cancellable_amount() -> None:
    """PortOne then refuses when part of it was given back elsewhere."""
    with client_of(lambda _: answer(200, cancel_answer())) as (client, server):
        cancellation = client.cancel(ID, **REFUND)
    assert cancellation == Cancellation(
        id="019b7f60-0000-e720-45fe-0000000000c1",
        status=CancellationStatus.SUCCEEDED,
        amount=3_000,
        reason="고객 요청",
        trigger="API",
    )
    [request] = server.requests
    assert (request.method, request.target) == ("POST", f"/payments/{ID}/cancel")
    assert request.headers["idempotency-key"] == f'"{KEY}"'
    assert request.members == {
        "storeId": STORE,
        "amount": 3_000,
        "currentCancellableAmount": 10_000,
        "reason": "고객 환불",
        "requester": "CUSTOMER",
    }


@pytest.mark.parametrize("status", ["REQUESTED", "FAILED", "DELIBERATED"])
def test_answer_200_does_not_mean_that_money_moved(status: str) -> None:
    body = {"cancellation": {**cancel_answer("REQUESTED")["cancellation"], "status": status}}
    with client_of(lambda _: answer(200, body)) as (client, _):
        answered = client.cancel(ID, **REFUND).status
    assert answered is {
        "REQUESTED": CancellationStatus.REQUESTED,
        "FAILED": CancellationStatus.FAILED,
    }.get(status, CancellationStatus.UNKNOWN)


@pytest.mark.parametrize(
    "body",
    [{}, {"cancellation": None}, {"cancellation": {"status": "SUCCEEDED"}}, {"cancellation": []}],
)
def test_cancellation_without_id_or_amount_leaves_the_outcome_unknown(body: object) -> None:
    with (
        client_of(lambda _: answer(200, body)) as (client, _),
        pytest.raises(PortoneProtocolError) as fault,
    ):
        client.cancel(ID, **REFUND)
    assert fault.value.outcome_is_unknown


class CancellationServer:
    """PortOne's side of cancellations: one per idempotency key, with repeated and lost answers."""

    def __init__(self, *, losing: int) -> None:
        self.left, self.losing = 10_000, losing
        self.answers: dict[str, Answer] = {}
        self.bodies: dict[str, set[bytes]] = {}
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Answer:
        key = request.headers["idempotency-key"]
        with self._lock:
            self.bodies.setdefault(key, set()).add(request.body)
            if key not in self.answers:
                self.answers[key] = self._cancel(request.members)
            self.losing -= 1
            return Answer(b"", Ending.RESET) if self.losing >= 0 else self.answers[key]

    def _cancel(self, members: dict[str, Any]) -> Answer:
        if members["currentCancellableAmount"] != self.left:
            return answer(
                409, {"type": "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN", "message": "달라요"}
            )
        self.left -= members["amount"]
        return answer(200, cancel_answer())


def test_cancellation_with_a_lost_answer_is_carried_out_once() -> None:
    """The same key gets the same answer and moves no more money."""
    server_state = CancellationServer(losing=2)
    with client_of(server_state) as (client, _):
        for _ in range(2):
            with pytest.raises(PortoneTransportError) as lost:
                client.cancel(ID, **REFUND)
            assert lost.value.outcome_is_unknown
        assert client.cancel(ID, **REFUND) == client.cancel(ID, **REFUND)
    assert server_state.left == 7_000
    assert [len(bodies) for bodies in server_state.bodies.values()] == [1], (
        "one key, one body to the octet"
    )


def test_another_key_is_refused_when_the_cancellable_amount_differs() -> None:
    """We expect 10,000 won; at PortOne 3,000 won of them were given back meanwhile."""
    server_state = CancellationServer(losing=0)
    with client_of(server_state) as (client, _):
        client.cancel(ID, **REFUND)
        with pytest.raises(PortoneApiError) as refusal:
            client.cancel(ID, **{**REFUND, "idempotency_key": f"{KEY}-2"})
    assert (refusal.value.status, refusal.value.type) == (
        409,
        "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN",
    )
    assert not refusal.value.outcome_is_unknown
    assert server_state.left == 7_000


def test_threads_sharing_a_client_get_their_own_answers() -> None:
    """Eight threads, forty requests each, every one for its own payment."""
    wrong: list[object] = []
    ids = [f"{number:032x}" for number in range(8)]

    def read_payments(client: PortoneClient, payment_id: str) -> None:
        for _ in range(40):
            report = client.get_payment(payment_id)
            if report is None or report.payment_id != payment_id:
                wrong.append(report)
        client.close()

    with client_of(
        lambda request: answer(200, payment("PAID", id=urlsplit(request.target).path[-32:]))
    ) as (
        client,
        server,
    ):
        threads = [
            threading.Thread(target=read_payments, args=(client, payment_id)) for payment_id in ids
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert len(server.requests) == 8 * 40
    assert len({request.peer for request in server.requests}) == 8, (
        "each thread keeps one connection"
    )


@pytest.mark.parametrize(
    "payment_id", ["", "..", ".", "../cancel", ID.upper(), ID + "0", f"{ID}\n", f"{ID[:-1]}?"]
)
def test_invalid_payment_id_never_becomes_part_of_a_url(payment_id: str) -> None:
    with client_of(lambda _: answer(200, {})) as (client, server):
        for call in (
            lambda: client.get_payment(payment_id),
            lambda: client.pre_register(payment_id, amount=1),
            lambda: client.cancel(payment_id, **REFUND),
            lambda: client.close_virtual_account(payment_id),
        ):
            with pytest.raises(ValueError, match="payment id"):
                call()
    assert server.requests == []


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("amount", 0),
        ("amount", -1),
        ("amount", 10_001),
        ("reason", ""),
        ("idempotency_key", "too-short"),
        ("idempotency_key", "a" * 257),
        ("idempotency_key", 'quoted"and-broken'),
        ("idempotency_key", "two\r\nHeaders: here-now"),
    ],
)
def test_impossible_cancellation_is_not_sent(member: str, value: object) -> None:
    with client_of(lambda _: answer(200, cancel_answer())) as (client, server):
        with pytest.raises(ValueError, match="cancellable|reason|idempotency key"):  # noqa: RUF043
            client.cancel(ID, **{**REFUND, member: value})
        with pytest.raises(ValueError, match="one won"):
            client.pre_register(ID, amount=0)
    assert server.requests == []


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("api_url", "ftp://127.0.0.1"),
        ("api_url", "127.0.0.1:80"),
        ("api_url", "https://"),
        ("api_url", "https://user:word@127.0.0.1"),
        ("api_url", "https://127.0.0.1/?a=b"),
        ("api_url", "https://127.0.0.1/#a"),
        ("api_secret", ""),
        ("api_secret", "two\nlines"),
        ("api_secret", "비밀"),
        ("store_id", ""),
    ],
)
def test_client_rejects_invalid_settings(member: str, value: str) -> None:
    """At construction and not at the first payment; the message does not contain the secret."""
    whole = {"api_url": "https://127.0.0.1", "api_secret": SECRET, "store_id": STORE, member: value}
    with pytest.raises(ValueError, match=r"address|secret|store") as fault:
        PortoneClient(**whole)  # type: ignore[arg-type]
    assert member != "api_secret" or not value or value not in str(fault.value)
