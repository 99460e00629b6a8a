"""HTTP control of faults: read, replace, validate."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
import requests

from sandbox.control import BODY_OCTETS_MAX, LOOPBACK, PROBLEMS_MAX, control
from sandbox.faults import Break, ConnectionEnd, Faults, Moment
from sandbox.toss_server import TossServer
from tests.support.deadlines import DEADLINE_S

JSON = {"Content-Type": "application/json"}


def visit(
    call: Callable[[str], requests.Response], server: TossServer | None = None
) -> requests.Response:
    """Return the answer of the control resource."""

    async def scene() -> requests.Response:
        async with control(server or TossServer(), 0) as port:
            return await asyncio.to_thread(call, f"http://{LOOPBACK}:{port}/sandbox/faults")

    return asyncio.run(scene())


def put(url: str, body: bytes | str, headers: dict[str, str] | None = None) -> requests.Response:
    return requests.put(
        url, data=body, headers=JSON if headers is None else headers, timeout=DEADLINE_S
    )


def test_there_are_no_faults_at_the_start() -> None:
    answer = visit(lambda url: requests.get(url, timeout=DEADLINE_S))

    assert (answer.status_code, answer.headers["Content-Type"]) == (
        200,
        "application/json; charset=utf-8",
    )
    assert answer.json() == json.loads(Faults().model_dump_json())


def test_faults_are_replaced_as_a_whole() -> None:
    """Omitted faults are switched off."""
    server = TossServer()
    server.faults.beats = False
    knobs = {
        "breaks": {"at": "subscribe", "ending": "reset", "writes": "RECEIPT\n"},
        "heart_beat_ms": [0, 0],
    }

    answer = visit(lambda url: put(url, json.dumps(knobs)), server)

    assert server.faults == Faults(
        breaks=Break(at=Moment.SUBSCRIBE, ending=ConnectionEnd.RESET, writes="RECEIPT\n"),
        heart_beat_ms=(0, 0),
    )
    assert answer.json() == json.loads(server.faults.model_dump_json())


def test_an_empty_object_ends_all_faults() -> None:
    server = TossServer()
    server.faults = Faults(token_status=403, refused_destinations={"/topic"})

    assert visit(lambda url: put(url, "{}"), server).status_code == 200
    assert server.faults == Faults()


@pytest.mark.parametrize(
    ("body", "place"),
    [
        pytest.param("", "", id="nothing"),
        pytest.param("no JSON", "", id="no JSON"),
        pytest.param(b"\xff\xfe", "", id="no text"),
        pytest.param("[" * 100_000, "", id="too deep"),
        pytest.param("[]", "", id="no object"),
        pytest.param('{"beat":false}', "beat", id="an unknown knob"),
        pytest.param('{"beats":"false"}', "beats", id="a text for a switch"),
        pytest.param('{"token_status":200.5}', "token_status", id="a fraction"),
        pytest.param('{"token_status":101}', "token_status", id="a status that answers nothing"),
        pytest.param('{"token_delay_ms":-1}', "token_delay_ms", id="a negative span"),
        pytest.param('{"token_delay_ms":' + "9" * 5_000 + "}", "", id="a huge number"),
        pytest.param('{"heart_beat_ms":[1]}', "heart_beat_ms.1", id="half a promise"),
        pytest.param('{"heart_beat_ms":[1,1e400]}', "heart_beat_ms.1", id="an infinite promise"),
        pytest.param('{"message_octets":0}', "message_octets", id="messages of nothing"),
        pytest.param('{"copies":1000000}', "copies", id="a flood"),
        pytest.param('{"refused_destinations":"all"}', "refused_destinations", id="no list"),
        pytest.param(
            '{"breaks":{"at":"connect"}}', "breaks.ending", id="a break without an ending"
        ),
        pytest.param(
            '{"breaks":{"at":"never","ending":"close"}}', "breaks.at", id="an unknown moment"
        ),
        pytest.param(
            '{"breaks":{"at":"connect","ending":"close","close_code":1006}}',
            "breaks",
            id="1006 in a frame",
        ),
        pytest.param(
            '{"breaks":{"at":"connect","ending":"close","close_code":5000}}',
            "breaks",
            id="no close code",
        ),
        pytest.param(
            json.dumps({"breaks": {"at": "connect", "ending": "none", "writes": "x" * 65_537}}),
            "breaks.writes",
            id="a novel",
        ),
    ],
)
def test_invalid_faults_change_nothing(body: bytes | str, place: str) -> None:
    server = TossServer()
    server.faults = before = Faults(beats=False)

    answer = visit(lambda url: put(url, body), server)

    error: dict[str, Any] = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "invalid-faults")
    assert error["complaints"][0]["at"] == place
    assert server.faults is before


def test_number_of_reported_problems_is_limited() -> None:
    answer = visit(lambda url: put(url, json.dumps({"refused_destinations": [1] * 1_000})))

    assert len(answer.json()["error"]["complaints"]) == PROBLEMS_MAX


@pytest.mark.parametrize(
    ("call", "status"),
    [
        pytest.param(
            lambda url: put(url, "{}", {"Content-Type": "text/plain"}), 415, id="not sent as JSON"
        ),
        pytest.param(lambda url: put(url, b" " * (BODY_OCTETS_MAX + 1)), 413, id="too large"),
        pytest.param(
            lambda url: requests.post(url, json={}, timeout=DEADLINE_S), 405, id="another method"
        ),
        pytest.param(
            lambda url: requests.get(f"{url}/beats", timeout=DEADLINE_S), 404, id="another place"
        ),
    ],
)
def test_unsupported_requests_are_rejected(
    call: Callable[[str], requests.Response], status: int
) -> None:
    assert visit(call).status_code == status
