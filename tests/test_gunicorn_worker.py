"""The worker's rule of when a request is whole: the same for any cuts of its octets, and never later than gunicorn's own parser would be done."""

import io
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.http import RequestParser
from hypothesis import given
from hypothesis import strategies as st

from gunicorn_worker import BODY_OCTETS_MAX, HEAD_OCTETS_MAX, Arrival, Arriving, refusal
from trading.rules.problems import MIMETYPE
from webapp import REQUEST_BYTES_MAX

HEAD = b"POST /x HTTP/1.1\r\nHost: x\r\n"
CODED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

bodies = st.binary(max_size=300)
spellings = st.sampled_from(
    [b"Content-Length: %d", b"content-length:%d", b"CONTENT-LENGTH: \t %d  "]
)
others = st.lists(
    st.sampled_from([b"X-A: 1\r\n", b"Accept: */*\r\n", b"X-Content-Length: 9\r\n"]), max_size=3
).map(b"".join)


def sized(body: bytes, spelling: bytes, before: bytes, after: bytes) -> bytes:
    return HEAD + before + spelling % len(body) + b"\r\n" + after + b"\r\n" + body


@st.composite
def chunked(draw: st.DrawFn) -> bytes:
    pieces = draw(st.lists(st.binary(min_size=1, max_size=40), max_size=6))
    extension = draw(st.sampled_from([b"", b";a=b", b' ; a="b"']))
    trailers = draw(st.sampled_from([b"", b"X-Sum: 1\r\n"]))
    return (
        CODED
        + b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces)
        + b"0\r\n"
        + trailers
        + b"\r\n"
    )


requests = st.builds(sized, bodies, spellings, others, others) | chunked() | st.just(HEAD + b"\r\n")


@st.composite
def cuts(draw: st.DrawFn, octets: bytes) -> list[bytes]:
    places = sorted(draw(st.sets(st.integers(1, max(1, len(octets) - 1)), max_size=8)))
    return [
        octets[start:end]
        for start, end in zip([0, *places], [*places, len(octets)], strict=True)
        if start < end
    ]


@given(requests, st.data())
def test_a_request_is_whole_with_its_last_octet(request: bytes, data: st.DataObject) -> None:
    """However it is cut, and whatever comes behind it; one octet less is not enough."""
    behind = data.draw(st.sampled_from([b"", b"GET / HTTP/1.1\r\n", b"\r\n"]))
    arriving = Arriving()
    pieces = data.draw(cuts(request))

    found = [arriving.add(piece) for piece in pieces]

    assert found == [Arrival.PARTIAL] * (len(pieces) - 1) + [Arrival.WHOLE]
    assert bytes(arriving.octets) == request
    assert Arriving().add(request[:-1]) is Arrival.PARTIAL
    assert Arriving().add(request + behind) is Arrival.WHOLE


@given(requests)
def test_gunicorn_needs_no_more(request: bytes) -> None:
    """What is whole is read to its end by gunicorn's parser, without a wait for more."""
    source = io.BytesIO(request)
    parsed = next(RequestParser(Config(), iter(lambda: source.read(1), b""), ("127.0.0.1", 1)))

    parsed.body.read()

    assert source.read() == b""


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda tail: CODED + tail), st.data())
def test_any_octets_are_judged_alike_however_they_are_cut(
    octets: bytes, data: st.DataObject
) -> None:
    """Garbage too: what is said at last does not depend on when it came, and nothing is raised."""
    whole, cut = Arriving(), Arriving()
    expected = whole.add(octets) if octets else Arrival.PARTIAL

    found = Arrival.PARTIAL
    for piece in data.draw(cuts(octets)):
        if found is Arrival.PARTIAL:
            found = cut.add(piece)

    assert found is expected


@pytest.mark.parametrize(
    ("octets", "arrival"),
    [
        (b"GET /" + b"x" * HEAD_OCTETS_MAX, Arrival.HEAD_TOO_LARGE),
        (HEAD + b"X: y\r\n" * 6_000 + b"\r\n", Arrival.HEAD_TOO_LARGE),
        (HEAD + b"Content-Length: %d\r\n\r\n" % (BODY_OCTETS_MAX + 1), Arrival.WHOLE),
        (HEAD + b"Content-Length: %d\r\n\r\n" % BODY_OCTETS_MAX, Arrival.PARTIAL),
        (CODED + b"%x\r\n" % (BODY_OCTETS_MAX + 1), Arrival.BODY_TOO_LARGE),
        (CODED + b"1000\r\n" + b"x" * 4_096 + b"\r\n" + b"ffff\r\n", Arrival.BODY_TOO_LARGE),
        (CODED + b"fffffffff\r\n", Arrival.BROKEN),
        (CODED + b"\r\n", Arrival.BROKEN),
        (CODED + b"-1\r\n", Arrival.BROKEN),
        (CODED + b"0x1\r\n", Arrival.BROKEN),
        (CODED + b"0" * 2_000, Arrival.BROKEN),
        (CODED + b"0\r\nX: " + b"y" * 9_000, Arrival.BROKEN),
    ],
)
def test_everything_has_an_end(octets: bytes, arrival: Arrival) -> None:
    """Heads, bodies, chunks, their lines and trailers: no client makes the worker keep more."""
    assert Arriving().add(octets) is arrival


def test_the_worker_and_the_application_allow_the_same() -> None:
    """A body that the worker gathers is one that the application reads."""
    assert BODY_OCTETS_MAX == REQUEST_BYTES_MAX


def test_leave_is_given_once() -> None:
    """A client that waits for it is told to go on, and gunicorn, which would tell him again, does not see that he asked."""
    asked = HEAD + b"Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n"
    arriving = Arriving()
    assert arriving.add(asked) is Arrival.PARTIAL
    assert arriving.awaits_leave

    arriving.give_leave()

    assert arriving.add(b"{}") is Arrival.WHOLE
    assert not arriving.awaits_leave
    assert bytes(arriving.octets) == HEAD + b"Content-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize(
    "code", ["malformed-request", "uri-too-long", "headers-too-large", "request-too-slow"]
)
def test_refusals_are_problems(code: str) -> None:
    """With the length that they say, and closed behind them."""
    head, _, body = refusal(code).partition(b"\r\n\r\n")
    lines: Any = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])

    assert (lines["Content-Type"], lines["Connection"]) == (MIMETYPE, "close")
    assert int(lines["Content-Length"]) == len(body)
    assert f'"code": "{code}"' in body.decode()
