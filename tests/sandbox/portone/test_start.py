"""The PortOne stand-in starts with the sandbox on its own port if requested."""

import signal
import socket

import requests

from launcher.ports import free_port
from sandbox.portone.payments import STORE_ID
from sandbox.portone.rest import API_SECRET
from tests.sandbox.test_command_line import is_up, sandbox
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import wait_until


def test_stand_in_starts_with_the_feed() -> None:
    port, portone_port = free_port(), free_port()
    with sandbox("--port", str(port), "--portone-port", str(portone_port)) as running:
        wait_until(lambda: is_up(port), what="the sandbox answers")
        assert running.stdout is not None
        running.stdout.readline()
        assert (
            running.stdout.readline()
            == f"PortOne's stand-in listens on http://127.0.0.1:{portone_port}\n"
        )
        answer = requests.get(
            f"http://127.0.0.1:{portone_port}/payments/x?storeId={STORE_ID}",
            headers={"Authorization": f"PortOne {API_SECRET}"},
            timeout=DEADLINE_S,
        )
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=DEADLINE_S)

    assert (answer.status_code, answer.json()["type"]) == (404, "PAYMENT_NOT_FOUND")
    assert running.returncode == 0


def test_busy_or_invalid_port_is_reported_in_one_sentence() -> None:
    port = free_port()
    with sandbox("--port", str(port)) as first:
        wait_until(lambda: is_up(port), what="the sandbox answers")
        with sandbox("--port", "0", "--portone-port", str(port)) as second:
            output, _ = second.communicate(timeout=DEADLINE_S)
        assert second.returncode == 1
        assert output.splitlines()[-1].startswith(f"sandbox: can't listen on 127.0.0.1:{port}: ")
        first.send_signal(signal.SIGTERM)
        first.communicate(timeout=DEADLINE_S)
    with sandbox("--portone-port", "65536") as third:
        output, _ = third.communicate(timeout=DEADLINE_S)
    assert (third.returncode, output) == (2, "sandbox: --portone-port must be from 0 to 65535.\n")


def test_stand_in_listens_on_the_given_host() -> None:
    """In a container, a published port reaches every address but loopback."""
    port = free_port()
    with sandbox(
        "--port", "0", "--portone-port", str(port), "--portone-host", "127.0.0.2"
    ) as running:
        wait_until(lambda: _listens("127.0.0.2", port), what="the stand-in listens")
        assert not _listens("127.0.0.1", port)
        running.send_signal(signal.SIGTERM)
        output, _ = running.communicate(timeout=DEADLINE_S)

    assert output.splitlines()[-1] == f"PortOne's stand-in listens on http://127.0.0.2:{port}"


def _listens(host: str, port: int) -> bool:
    with socket.socket() as knocking:
        return knocking.connect_ex((host, port)) == 0
