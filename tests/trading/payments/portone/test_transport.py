"""Calls to a misbehaving server end in time, within the size limit, with one of three errors."""

import gc
import os
import pickle
import signal
import traceback
import warnings
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from launcher.ports import free_port
from tests.fixtures.portone import payment
from tests.support.http_server import Answer, Ending, answer, serving
from tests.support.properties import examples
from tests.support.servers import wait_until
from tests.trading.payments.portone.test_client import ID, REFUND, SECRET, STORE, client_of
from trading.http_client import RETRY_AFTER_S_MAX
from trading.payments.portone.client import PortoneClient
from trading.payments.portone.errors import (
    PortoneApiError,
    PortoneError,
    PortoneProtocolError,
    PortoneTransportError,
)
from trading.payments.portone.transport import BODY_OCTETS_MAX, PortoneTimeouts
from trading.payments.portone_payment import read_report

PAID = payment("PAID")
BODY_WORD = "word-of-the-body"
PAGE = f"<html>{BODY_WORD}</html>".encode()
HASTY = PortoneTimeouts(connect_s=0.5, read_s=0.3, total_s=1.0)


def fault_of(given: Answer) -> PortoneError:
    """Return the error of both a read and a cancellation; the client must work again afterwards."""
    faults = []
    with client_of(lambda _: given) as (client, server):
        for call in (lambda: client.get_payment(ID), lambda: client.cancel(ID, **REFUND)):
            with pytest.raises(PortoneError) as fault:
                call()
            faults.append(fault.value)
        server.reply = lambda _: answer(200, PAID)
        assert client.get_payment(ID) == read_report(PAID)
    one, other = faults
    assert (type(one), one.args) == (type(other), other.args)
    text = "".join(traceback.format_exception(one)) + repr(one) + str(one)
    assert SECRET not in text
    assert BODY_WORD not in text
    return one


@pytest.mark.parametrize(
    ("status", "kind", "unknown"),
    [
        (400, "INVALID_REQUEST", False),
        (401, "UNAUTHORIZED", False),
        (403, "FORBIDDEN", False),
        (404, "STORE_NOT_FOUND", False),
        (408, "REQUEST_TIMEOUT", True),
        (409, "PAYMENT_NOT_PAID", False),
        (409, "ALREADY_PAID", False),
        (409, "IDEMPOTENCY_OUTSTANDING_REQUEST", True),
        (429, "RESOURCE_EXHAUSTED", True),
        (500, "INTERNAL", True),
        (502, "PG_PROVIDER", True),
        (503, "UNAVAILABLE", True),
        (599, "A_TYPE_OF_THE_FUTURE", True),
    ],
)
def test_refusal_keeps_its_status_and_type(status: int, kind: str, unknown: bool) -> None:
    """Only a refusal that settles the request counts as final."""
    fault = fault_of(answer(status, {"type": kind, "message": BODY_WORD, "pgMessage": BODY_WORD}))
    assert isinstance(fault, PortoneApiError)
    assert (fault.status, fault.type, fault.outcome_is_unknown) == (status, kind, unknown)
    assert str(fault) == f"PortOne answered {status} {kind}"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7", 7),
        ("999999", RETRY_AFTER_S_MAX),
        ("soon", None),
        ("-1", None),
        ("", None),
        ("٣", None),
    ],
)
def test_retry_after_is_bounded(text: str, seconds: int | None) -> None:
    fault = fault_of(answer(429, {"type": "RESOURCE_EXHAUSTED"}, Retry_After=text))
    assert isinstance(fault, PortoneApiError)
    assert fault.retry_after_s == seconds


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ODD_ANSWERS = {
    "half a head": Answer(HEAD, Ending.CLOSE),
    **{
        f"a page with {status}": answer(status, octets=PAGE, Content_Type="text/html")
        for status in (200, 404, 500, 502)
    },
    **{
        f"nothing with {status}": answer(status, octets=b"")
        for status in (200, 202, 301, 304, 404, 503)
    },
    **{
        f"a page that calls itself JSON, with {status}": answer(status, octets=PAGE)
        for status in (200, 404, 502)
    },
    "JSON that calls itself a page": answer(200, PAID, Content_Type="text/html"),
    "JSON that calls itself nothing": answer(200, PAID, Content_Type=""),
    "a payment with 201": answer(201, PAID),
    "an array": answer(200, [PAID]),
    "null": answer(200, None),
    "a text": answer(200, BODY_WORD),
    "an error without a type": answer(404, {"message": BODY_WORD}),
    "an error whose type is a sentence": answer(400, {"type": f"{BODY_WORD}\nand more"}),
    "an error whose type is endless": answer(400, {"type": "A" * 65}),
    "an error whose type is none": answer(400, {"type": None}),
    "no UTF-8": answer(200, octets=b'{"id":"\xff"}'),
    "half a surrogate": answer(200, octets=rb'{"id":"\ud800"}'),
    "a BOM": answer(200, octets=b"\xef\xbb\xbf{}"),
    "no number": answer(200, octets=b'{"amount":NaN}'),
    "an endless number": answer(200, octets=b'{"amount":' + b"9" * 100_000 + b"}"),
    "absurdly deep JSON": answer(200, octets=b"[" * 100_000),
    "two values": answer(200, octets=b"{}{}"),
    "packed JSON": answer(200, octets=b"\x1f\x8b\x08\x00", Content_Encoding="gzip"),
    "an endless body": Answer(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n" + b" " * (BODY_OCTETS_MAX + 1),
        Ending.HOLD,
    ),
    "a body too long by one": answer(200, octets=b"{}".ljust(BODY_OCTETS_MAX + 1)),
    "a redirect": answer(302, {"type": "MOVED"}, Location="http://127.0.0.1:1/payments"),
    "a redirect to nowhere": answer(307, octets=PAGE, Location="http://[::1"),
    "a redirect with an endless body": Answer(
        b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n" + b" " * (BODY_OCTETS_MAX + 1), Ending.HOLD
    ),
}


@pytest.mark.parametrize("given", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
def test_answer_outside_the_api_leaves_the_outcome_unknown(given: Answer) -> None:
    """Nothing is read from it and no redirect is followed."""
    fault = fault_of(given)
    assert isinstance(fault, PortoneProtocolError)
    assert fault.outcome_is_unknown
    assert f"HTTP/1.1 {fault.status} ".encode() in given.octets


BROKEN_ANSWERS = {
    "nothing, closed": Answer(b"", Ending.CLOSE),
    "nothing, reset": Answer(b"", Ending.RESET),
    "half a body, closed": Answer(HEAD + b'Content-Length: 9\r\n\r\n{"id"', Ending.CLOSE),
    "half a body, reset": Answer(HEAD + b'Content-Length: 9\r\n\r\n{"id"', Ending.RESET),
    "half a chunk": Answer(HEAD + b"Transfer-Encoding: chunked\r\n\r\n9\r\n{}", Ending.CLOSE),
    "no last chunk": Answer(HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", Ending.CLOSE),
    "a chunk of no size": Answer(
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n", Ending.CLOSE
    ),
    "two lengths": Answer(
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", Ending.CLOSE
    ),
    "another protocol": Answer(b"SSH-2.0-OpenSSH_9.6\r\n", Ending.CLOSE),
    "an endless header": Answer(
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", Ending.CLOSE
    ),
    "endless headers": Answer(b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 1_000 + b"\r\n", Ending.CLOSE),
}


@pytest.mark.parametrize("given", BROKEN_ANSWERS.values(), ids=BROKEN_ANSWERS)
def test_truncated_answer_is_an_error(given: Answer) -> None:
    """Half a payment is not read, even where it parses as a whole one."""
    fault = fault_of(given)
    assert isinstance(fault, PortoneTransportError)
    assert fault.outcome_is_unknown


SLOW_ANSWERS = {
    "silence": Answer(b"", Ending.HOLD),
    "half a head": Answer(HEAD, Ending.HOLD),
    "a head": Answer(HEAD + b"Content-Length: 2\r\n\r\n", Ending.HOLD),
    "a body that comes by octets": Answer(HEAD + b"\r\n{", Ending.DRIBBLE),
    "a redirect that comes by octets": Answer(
        b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", Ending.DRIBBLE
    ),
    "an error that comes by octets": Answer(b"HTTP/1.1 502 Bad Gateway\r\n\r\n", Ending.DRIBBLE),
}


@pytest.mark.parametrize("given", SLOW_ANSWERS.values(), ids=SLOW_ANSWERS)
def test_endless_answer_times_out(given: Answer) -> None:
    """A body that arrives byte by byte keeps within each read timeout, so the total is bounded."""
    with (
        serving(lambda _: given) as server,
        PortoneClient(
            api_url=server.url, api_secret=SECRET, store_id=STORE, timeouts=HASTY
        ) as client,
        pytest.raises(PortoneTransportError),
    ):
        client.get_payment(ID)


def test_refused_connection_is_reported() -> None:
    closed_port_url = f"http://127.0.0.1:{free_port()}"
    with (
        PortoneClient(api_url=closed_port_url, api_secret=SECRET, store_id=STORE) as client,
        pytest.raises(
            PortoneTransportError, match=r"^no answer from PortOne: ConnectionError$"
        ) as fault,
    ):
        client.get_payment(ID)
    assert fault.value.outcome_is_unknown


@pytest.mark.parametrize("body", [b"{}".ljust(BODY_OCTETS_MAX), b'{"a": 1}'])
def test_body_within_the_limit_is_read_in_every_framing(body: bytes) -> None:
    """The largest allowed body, with a length, until the end of the connection, and in chunks."""
    chunks = (
        b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:3], body[3:]))
        + b"0\r\n\r\n"
    )
    for whole in (
        answer(200, octets=body, Content_Type="Application/JSON; charset=UTF-8"),
        Answer(HEAD + b"\r\n" + body, Ending.CLOSE),
        Answer(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks),
    ):
        with client_of(lambda _, whole=whole: whole) as (client, _):  # type: ignore[misc]
            assert client.get_payment(ID) == read_report({})


def test_redirect_is_not_followed_with_our_secret() -> None:
    with serving(lambda _: answer(200, PAID)) as other:
        fault_of(answer(307, octets=b"", Location=f"{other.url}/payments/{ID}"))
    assert other.requests == []


def test_cookies_are_not_kept() -> None:
    with client_of(lambda _: answer(200, PAID, Set_Cookie="mark=1; Path=/")) as (client, server):
        client.get_payment(ID)
        client.get_payment(ID)
    assert all("cookie" not in request.headers for request in server.requests)


@settings(max_examples=examples(60), deadline=None)
@given(
    st.binary(max_size=200)
    | st.builds(
        lambda head, body: HEAD + head + b"\r\n\r\n" + body,
        st.binary(max_size=60),
        st.binary(max_size=60),
    )
)
def test_any_octets_give_a_report_or_a_portone_error(octets: bytes) -> None:
    with client_of(lambda _: Answer(octets, Ending.CLOSE)) as (client, _), suppress(PortoneError):
        client.get_payment(ID)


@pytest.mark.parametrize(
    "fault",
    [
        PortoneApiError(409, "PAYMENT_NOT_PAID", 7),
        PortoneTransportError("no answer from PortOne: ReadTimeout"),
        PortoneProtocolError("PortOne's answer is not a JSON object", 200),
    ],
)
def test_errors_can_be_pickled(fault: PortoneError) -> None:
    """A worker's error reaches its parent process by pickle."""
    copy = pickle.loads(pickle.dumps(fault))  # noqa: S301 - our own
    assert (type(copy), copy.args, str(copy), vars(copy)) == (
        type(fault),
        fault.args,
        str(fault),
        vars(fault),
    )


def test_error_does_not_reference_the_secret() -> None:
    """Error reporters print whatever an exception references: its context and the request."""
    with client_of(lambda _: Answer(b"", Ending.RESET)) as (client, _):
        with pytest.raises(PortoneTransportError) as fault:
            client.get_payment(ID)
        assert fault.value.__context__ is None
        assert fault.value.__cause__ is None


def test_forked_process_opens_its_own_connection() -> None:
    """Parent and child on one socket would read each other's payments."""
    with client_of(lambda _: answer(200, PAID)) as (client, server):
        client.get_payment(ID)
        with (
            warnings.catch_warnings()
        ):  # Later Python versions warn about threads, and this process has the server's.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                client.get_payment(ID)
                os._exit(0)
            except BaseException:  # noqa: BLE001 - the child must not go on with the parent's tests
                os._exit(1)
        try:
            _, state = os.waitpid(child, 0)
        except BaseException:
            os.kill(child, signal.SIGKILL)
            raise
        client.get_payment(ID)
    assert os.waitstatus_to_exitcode(state) == 0
    first, forked, last = (request.peer for request in server.requests)
    assert first == last != forked


@pytest.fixture
def without_collection() -> Iterator[None]:
    """Disable garbage collection, so that unreferenced objects in cycles stay alive."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("without_collection")
def test_closed_client_leaves_no_connection() -> None:
    """Neither after answers nor after failures; a closed client can be used again."""
    with client_of(lambda _: Answer(b"", Ending.RESET)) as (client, server):
        with pytest.raises(PortoneTransportError):
            client.get_payment(ID)
        server.reply = lambda _: answer(200, PAID)
        client.get_payment(ID)
        wait_until(
            lambda: len(server.open_connections) == 1,
            what="the server has done with the first connection",
        )

        client.close()

        wait_until(lambda: not server.open_connections, what="the server sees the client leave")
        assert client.get_payment(ID) is not None
