"""`python -m sandbox`: one sentence for an error, otherwise a running stand-in."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from launcher.plan import ROOT
from launcher.ports import free_port
from sandbox.__main__ import main
from tests.support.deadlines import DEADLINE_S
from tests.support.servers import wait_until

BARS = "datetime,open,high,low,close,volume\n2026-01-15 09:01:00,70000,70000,70000,70000,10\n"


@contextmanager
def sandbox(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a sandbox process, and kill it at the end if it still runs."""
    running = subprocess.Popen(
        [sys.executable, "-m", "sandbox", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def is_up(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/healthz", timeout=DEADLINE_S).ok
    except requests.ConnectionError:
        return False


def test_rest_api_has_the_prices_of_the_feed() -> None:
    port, rest_port = free_port(), free_port()
    with sandbox("--port", str(port), "--rest-port", str(rest_port), "--rate", "500") as running:
        wait_until(lambda: is_up(rest_port), what="the REST API answers")
        path = f"http://127.0.0.1:{rest_port}/api/v3/stock-prices/details?productCodes=A005930"
        wait_until(
            lambda: requests.get(path, timeout=DEADLINE_S).json()["result"],
            what="the stock trades",
        )
        (details,) = requests.get(path, timeout=DEADLINE_S).json()["result"]
        running.send_signal(signal.SIGTERM)
        output, _ = running.communicate(timeout=DEADLINE_S)

    assert details["lowerLimit"] <= details["close"] <= details["upperLimit"]
    assert f"Toss's REST API listens on http://127.0.0.1:{rest_port}\n" in output


def test_sandbox_runs_until_sigterm() -> None:
    port = free_port()
    with sandbox("--port", str(port)) as running:
        wait_until(lambda: is_up(port), what="the sandbox answers")
        running.send_signal(signal.SIGTERM)
        output, _ = running.communicate(timeout=DEADLINE_S)

    assert (running.returncode, output) == (
        0,
        f"sandbox listens on http://127.0.0.1:{port}, 42 made-up stocks, 60 trades/s\n",
    )


def test_replay_waits_for_its_first_subscriber(tmp_path: Path) -> None:
    bars = tmp_path / "bars.csv"
    bars.write_text(BARS, encoding="utf-8")
    port = free_port()
    with sandbox("--port", str(port), "--replay", str(bars), "--code", "0126z0") as running:
        wait_until(lambda: is_up(port), what="the sandbox answers")
        running.send_signal(signal.SIGINT)
        output, _ = running.communicate(timeout=DEADLINE_S)

    assert running.returncode == 0
    assert output.splitlines()[1:] == ["replay A0126Z0 waits for its first subscriber"]


def test_faults_can_be_set_on_the_control_port() -> None:
    port, control_port = free_port(), free_port()
    with sandbox("--port", str(port), "--control-port", str(control_port)) as running:
        wait_until(lambda: is_up(port), what="the sandbox answers")
        assert running.stdout is not None
        address = f"http://127.0.0.1:{control_port}/sandbox/faults"
        assert [running.stdout.readline() for _ in range(2)][
            1
        ] == f"faults can be set at {address}\n"
        assert requests.put(address, json={"token_status": 503}, timeout=DEADLINE_S).ok
        assert (
            requests.get(
                f"http://127.0.0.1:{port}/api/v1/refresh-utk", timeout=DEADLINE_S
            ).status_code
            == 503
        )
        running.send_signal(signal.SIGTERM)
        output, _ = running.communicate(timeout=DEADLINE_S)

    assert (running.returncode, output) == (0, "")


def test_busy_port_is_reported() -> None:
    port = free_port()
    with sandbox("--port", str(port)):
        wait_until(lambda: is_up(port), what="the first sandbox answers")
        with sandbox("--port", str(port)) as second:
            output, _ = second.communicate(timeout=DEADLINE_S)
        with sandbox("--port", "0", "--control-port", str(port)) as third:
            control_output, _ = third.communicate(timeout=DEADLINE_S)

    assert (second.returncode, third.returncode) == (1, 1)
    assert output.startswith(f"sandbox: can't listen on 127.0.0.1:{port}: ")
    assert output.count("\n") == 1
    assert control_output.splitlines()[1].startswith(f"sandbox: can't listen on 127.0.0.1:{port}: ")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rate", "0"], "--rate must be above 0 and at most 5000."),
        (["--port", "70000"], "--port must be from 0 to 65535."),
        (["--control-port", "-1"], "--control-port must be from 0 to 65535."),
        (["--portone-webhook-scale", "2"], "--portone-webhook-scale must be from 0 to 1."),
        (["--loop"], "--code, --speed, --base and --loop need --replay FILE."),
        (["--replay", "BARS", "--speed", "0"], "--speed must be above 0 and at most 6000."),
        (["--replay", "BARS", "--base", "0"], "--base must be a price in won."),
        (["--replay", "BARS", "--code", "삼성"], "--code must be a stock code such as A005930."),
        (["--replay", "/nowhere.csv"], "/nowhere.csv can't be read: No such file or directory."),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_invalid_argument_is_reported_in_one_sentence(
    arguments: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bars = tmp_path / "bars.csv"
    bars.write_text(BARS, encoding="utf-8")

    with pytest.raises(SystemExit) as ended:
        main([str(bars) if argument == "BARS" else argument for argument in arguments])

    assert ended.value.code == 2
    assert capsys.readouterr().err == f"sandbox: {sentence}\n"


def test_invalid_file_of_bars_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bars.csv"
    file.write_text("hello\n", encoding="utf-8")

    with pytest.raises(SystemExit):
        main(["--replay", str(file)])

    assert capsys.readouterr().err == (
        f"sandbox: {file} can't be played: line 1: the columns must be "
        "datetime,open,high,low,close,volume.\n"
    )


def test_sandbox_refuses_production(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENVIRONMENT", "production")
    with pytest.raises(SystemExit) as ended:
        main(["--port", "0"])
    assert ended.value.code == 2
    assert (
        capsys.readouterr().err
        == "sandbox: ENVIRONMENT is production, and no stand-in is ever started there.\n"
    )
