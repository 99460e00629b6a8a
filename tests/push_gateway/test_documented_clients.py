"""The client programs of docs/streaming.md, unchanged, with a real gateway."""

import asyncio
import re
import shutil
import sys
from pathlib import Path

import pytest

from launcher.plan import ROOT
from tests.push_gateway.harness import User, gateway
from tests.support.deadlines import DEADLINE_S

PAGE = (ROOT / "docs" / "streaming.md").read_text(encoding="utf-8")


def program(language: str) -> str:
    """Return the page's only program in this language."""
    [text] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    return str(text)


async def next_lines(client: asyncio.subprocess.Process, count: int) -> list[str]:
    """Return the next lines that the client prints."""
    assert client.stdout is not None
    async with asyncio.timeout(2 * DEADLINE_S):
        return [(await client.stdout.readline()).decode() for _ in range(count)]


async def check_client(valkey_url: str, command: list[str], *, websocket: bool) -> None:
    """Check that the client prints events and misses none when the gateway restarts."""
    alice, port = User(), None
    client = None
    try:
        async with gateway(valkey_url) as server:
            port = server.port
            server.market.tick(70_000)
            server.market.events(alice, [1])
            url = f"ws://127.0.0.1:{port}/ws" if websocket else server.stream_url
            client = await asyncio.create_subprocess_exec(
                *command,
                url,
                alice.token(),
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            ready, tick = await next_lines(client, 2)
            assert ready.startswith("ready ")
            assert tick.startswith("tick ")
            assert "70000" in tick
            server.market.events(alice, [2])
            assert "fill" in (await next_lines(client, 1))[0]
        assert (await next_lines(client, 1))[0].startswith("closing ")
        async with gateway(valkey_url, port=port) as server:
            server.market.events(alice, [3])
            got = await next_lines(client, 3)
            assert sorted(line.split()[0] for line in got) == ["fill", "ready", "tick"]
            assert any('"no":3' in line.replace(" ", "") for line in got)
    finally:
        if client is not None and client.returncode is None:
            client.kill()
            await client.wait()


async def test_python_client_of_the_documentation(valkey_url: str, tmp_path: Path) -> None:
    path = tmp_path / "client.py"
    path.write_text(program("python"), encoding="utf-8")
    await check_client(valkey_url, [sys.executable, str(path)], websocket=True)


async def test_javascript_client_of_the_documentation(valkey_url: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed, so the JavaScript of docs/streaming.md was not run.")
    path = tmp_path / "client.mjs"
    path.write_text(program("js"), encoding="utf-8")
    await check_client(valkey_url, [node, str(path)], websocket=False)
