"""The client asks PortOne what it means to ask, and takes its answers for what they are."""

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
def asked(reply: Reply, *, path: str = "") -> Iterator[tuple[PortoneClient, Server]]:
    """A client of a server that answers so."""
    with (
        serving(reply) as server,
        PortoneClient(api_url=server.url + path, api_secret=SECRET, store_id=STORE) as client,
    ):
        yield client, server


@pytest.mark.parametrize("status", STATUSES)
def test_a_payment_of_each_status_is_told(status: str) -> None:
    with asked(lambda _: answer(200, payment(status))) as (client, _):
        assert client.get_payment(ID) == read_report(payment(status))


def test_what_is_not_known_yet_is_told_all_the_same() -> None:
    """A status, a method and members of the future leave the amount readable."""
    new = payment(
        "PAID", status="SETTLED", method={"type": "PaymentMethodTelepathy"}, aura=["green"]
    )
    with asked(lambda _: answer(200, new)) as (client, _):
        report = client.get_payment(ID)
        assert report is not None
        assert (report.status, report.total) == (PortoneStatus.UNKNOWN, 10_000)


@pytest.mark.parametrize("path", ["", "/", "/v2/"])
def test_a_look_names_the_store_and_authorises_itself(path: str) -> None:
    """Without the store PortOne looks in the one of the secret, and a payment there is not ours."""
    with asked(lambda _: answer(200, payment("PAID")), path=path) as (client, server):
        client.get_payment(ID)
    [request] = server.requests
    address = urlsplit(request.target)
    assert (request.method, address.path) == ("GET", f"{path.rstrip('/')}/payments/{ID}")
    assert parse_qs(address.query) == {"storeId": [STORE]}
    assert request.headers["authorization"] == f"PortOne {SECRET}"
    assert request.headers["accept-encoding"] == "identity"
    assert "idempotency-key" not in request.headers


def test_a_machine_with_a_netrc_keeps_our_authorisation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """requests puts what it finds there in the place of a header that it was given."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with asked(lambda _: answer(200, payment("PAID"))) as (client, server):
        client.get_payment(ID)
    assert server.requests[0].headers["authorization"] == f"PortOne {SECRET}"


def test_a_payment_that_portone_does_not_know_is_none() -> None:
    with asked(lambda _: answer(404, {"type": "PAYMENT_NOT_FOUND", "message": "없음"})) as (
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
def test_a_404_of_somebody_else_is_no_word_on_the_payment(
    given: Answer, error: type[Exception]
) -> None:
    """A proxy without its upstream would have every payment never begun."""
    with asked(lambda _: given) as (client, _), pytest.raises(error):
        client.get_payment(ID)


def test_a_pre_registration_pins_the_amount() -> None:
    with asked(lambda _: answer(200, {})) as (client, server):
        client.pre_register(ID, amount=10_000)
    [request] = server.requests
    assert (request.method, request.target) == ("POST", f"/payments/{ID}/pre-register")
    assert request.members == {"storeId": STORE, "totalAmount": 10_000, "currency": "KRW"}
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == f"PortOne {SECRET}"


def test_an_account_is_closed() -> None:
    with asked(lambda _: answer(200, {"closedAt": "2026-01-01T00:00:00Z"})) as (client, server):
        client.close_virtual_account(ID)
    [request] = server.requests
    assert (request.method, request.target) == (
        "POST",
        f"/payments/{ID}/virtual-account/close?storeId={STORE}",
    )
    assert request.body == b""


def test_a_cancellation_says_how_much_and_of_how_much() -> None:
    """What is left by our books goes along, so that PortOne refuses when somebody else gave back some of it."""
    with asked(lambda _: answer(200, cancel_answer())) as (client, server):
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
def test_a_200_is_no_promise_that_money_moved(status: str) -> None:
    said = {"cancellation": {**cancel_answer("REQUESTED")["cancellation"], "status": status}}
    with asked(lambda _: answer(200, said)) as (client, _):
        told = client.cancel(ID, **REFUND).status
    assert told is {
        "REQUESTED": CancellationStatus.REQUESTED,
        "FAILED": CancellationStatus.FAILED,
    }.get(status, CancellationStatus.UNKNOWN)


@pytest.mark.parametrize(
    "said",
    [{}, {"cancellation": None}, {"cancellation": {"status": "SUCCEEDED"}}, {"cancellation": []}],
)
def test_a_cancellation_without_an_id_or_amount_leaves_the_outcome_unknown(said: object) -> None:
    with (
        asked(lambda _: answer(200, said)) as (client, _),
        pytest.raises(PortoneProtocolError) as fault,
    ):
        client.cancel(ID, **REFUND)
    assert fault.value.outcome_is_unknown


class Till:
    """PortOne's side of cancellations: one for each idempotency key, its answer given again; what it does may get lost on the way."""

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


def test_a_cancellation_whose_answer_was_lost_is_carried_out_once() -> None:
    """The effect is there and the connection gone: asked again with the same key, PortOne gives the same answer and no more money."""
    till = Till(losing=2)
    with asked(till) as (client, _):
        for _ in range(2):
            with pytest.raises(PortoneTransportError) as lost:
                client.cancel(ID, **REFUND)
            assert lost.value.outcome_is_unknown
        assert client.cancel(ID, **REFUND) == client.cancel(ID, **REFUND)
    assert till.left == 7_000
    assert [len(bodies) for bodies in till.bodies.values()] == [1], "one key, one body to the octet"


def test_another_key_is_another_cancellation_and_meets_the_guard() -> None:
    """By our books 10,000 won were left; by PortOne's somebody took 3,000 of them meanwhile."""
    till = Till(losing=0)
    with asked(till) as (client, _):
        client.cancel(ID, **REFUND)
        with pytest.raises(PortoneApiError) as refusal:
            client.cancel(ID, **{**REFUND, "idempotency_key": f"{KEY}-2"})
    assert (refusal.value.status, refusal.value.type) == (
        409,
        "CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN",
    )
    assert not refusal.value.outcome_is_unknown
    assert till.left == 7_000


def test_threads_that_share_a_client_get_their_own_answers() -> None:
    """Eight at once, forty looks each, every one at a payment of its own."""
    wrong: list[object] = []
    ids = [f"{number:032x}" for number in range(8)]

    def look(client: PortoneClient, payment_id: str) -> None:
        for _ in range(40):
            report = client.get_payment(payment_id)
            if report is None or report.payment_id != payment_id:
                wrong.append(report)
        client.close()

    with asked(
        lambda request: answer(200, payment("PAID", id=urlsplit(request.target).path[-32:]))
    ) as (
        client,
        server,
    ):
        threads = [threading.Thread(target=look, args=(client, payment_id)) for payment_id in ids]
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
def test_what_is_no_payment_id_never_becomes_an_address(payment_id: str) -> None:
    with asked(lambda _: answer(200, {})) as (client, server):
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
def test_a_cancellation_that_cannot_be_meant_is_not_sent(member: str, value: object) -> None:
    with asked(lambda _: answer(200, cancel_answer())) as (client, server):
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
def test_a_client_is_not_built_on_a_fault(member: str, value: str) -> None:
    """Found at the start and not at the first payment; the message does not repeat a secret."""
    whole = {"api_url": "https://127.0.0.1", "api_secret": SECRET, "store_id": STORE, member: value}
    with pytest.raises(ValueError, match=r"address|secret|store") as fault:
        PortoneClient(**whole)  # type: ignore[arg-type]
    assert member != "api_secret" or not value or value not in str(fault.value)
