"""Scripts for Node.js with packages of npm that are installed beside it: in a folder of ``NODE_PATH``, or globally."""

import json
import os
import queue
import shutil
import subprocess
import threading
from functools import cache
from pathlib import Path
from typing import Any, Self

from launcher.leash import leashed
from tests.deadlines import DEADLINE_S

HERE = Path(__file__).parent
STOP_TIMEOUT_S = 10.0


def environment() -> dict[str, str]:
    """The variables of a script: npm's global folder stands behind those that ``NODE_PATH`` names."""
    program = shutil.which("node")
    globally = (
        []
        if program is None
        else [str(Path(program).resolve().parent.parent / "lib" / "node_modules")]
    )
    named = os.environ.get("NODE_PATH", "").split(os.pathsep)
    return {**os.environ, "NODE_PATH": os.pathsep.join(filter(None, [*named, *globally]))}


@cache
def missing(*packages: str) -> str | None:
    """What this machine lacks of Node.js and the packages, None when it lacks nothing."""
    if shutil.which("node") is None:
        return "Node.js is not installed."
    for package in packages:
        looked = subprocess.run(
            ["node", "-e", f"require({json.dumps(package)})"],
            env=environment(),
            capture_output=True,
            check=False,
        )
        if looked.returncode != 0:
            return f"npm's {package} is neither in NODE_PATH nor installed globally."
    return None


class Script:
    """A running script that writes a JSON object a line and reads a word a line."""

    def __init__(self, name: str, *arguments: str) -> None:
        self._command = ["node", str(HERE / name), *arguments]
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()

    def next(self) -> dict[str, Any]:
        """What it says next; queue.Empty when it says nothing for a minute."""
        return self._said.get(timeout=DEADLINE_S)

    def so_far(self) -> list[dict[str, Any]]:
        """What it has said and nobody has taken, all at once."""
        return [self._said.get_nowait() for _ in range(self._said.qsize())]

    def tell(self, word: str) -> None:
        """Give it a word."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(json.loads(line))

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            leashed(self._command),
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(STOP_TIMEOUT_S)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
