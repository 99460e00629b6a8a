"""The Procfile's processes, each under a keeper, run by honcho: started together, printed together, stopped together."""

import contextlib
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable
from logging import makeLogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType
from typing import Any

from honcho.manager import Manager
from honcho.printer import Message, Printer
from honcho.process import Process

from launcher.parent_death_signal import set_parent_death_signal
from launcher.plan import ROOT, Plan

LOG_SIZE = 10_000_000  # bytes; one older file is kept beside the current one
GAVE_UP = 1  # A keeper's exit status when its command never came up.


class _LogPrinter(Printer):
    """honcho's printer, which also writes each process's lines to a file of its own; ``echo`` shows them here as well."""

    def __init__(self, logs: Path, *, echo: bool) -> None:
        super().__init__(sys.stdout)
        self._logs = logs
        self._echo = echo
        self._files: dict[str, RotatingFileHandler] = {}

    def write(self, message: Message) -> None:
        text = (
            message.data.decode("utf-8", "replace")
            if isinstance(message.data, bytes)
            else message.data
        )
        self._file(message.name).emit(makeLogRecord({"msg": text.rstrip("\n")}))
        if self._echo:
            super().write(message)

    def _file(self, name: str) -> RotatingFileHandler:
        if name not in self._files:
            path = self._logs / f"{name}.log"
            path.unlink(missing_ok=True)
            self._files[name] = RotatingFileHandler(
                path, maxBytes=LOG_SIZE, backupCount=1, encoding="utf-8"
            )
        return self._files[name]


class _Process(Process):
    """honcho's reader of one command. It leaves signals to the launcher and does not outlive it."""

    def run(self, *arguments: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        set_parent_death_signal(signal.SIGKILL)
        super().run(*arguments)


class Stack(Manager):
    """Runs the plan's processes. ``loop`` (honcho's) returns when all of them have ended; then ask ``given_up``."""

    def __init__(self, plan: Plan, *, echo: bool, when_started: Callable[["Stack"], None]) -> None:
        super().__init__(_LogPrinter(plan.logs, echo=echo))
        self._process_ctor = _Process
        self._when_started = threading.Thread(
            target=when_started, args=(self,), name="when-started", daemon=True
        )
        self._signalled = False
        self.stopping = threading.Event()
        for name, command in plan.commands.items():
            variable = f"KEPT_{name.upper()}"
            kept = shlex.join([sys.executable, "-m", "launcher.supervisor", "--variable", variable])
            self.add_process(
                name, f"exec {kept}", env={**plan.environment, variable: command}, cwd=str(ROOT)
            )

    def _start(self) -> None:
        """Start them all, then what watches over the start. The thread comes after the forks, never before."""
        super()._start()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._when_started.start()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """The first signal stops in order, the second kills."""
        if self._signalled:
            self._kill_now()
        self._signalled = True
        self.terminate()

    def terminate(self) -> None:
        """Stop everything in order. While a process is still being started the stop waits for it."""
        self.stopping.set()
        if super()._all_started():
            super().terminate()

    def _all_started(self) -> bool:
        """honcho asks this each time round its loop: the moment at which a stop that had to wait is due."""
        started = bool(super()._all_started())
        if started and self.stopping.is_set():
            super().terminate()
        return started

    def _kill_now(self) -> None:
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                if process.get("pid") and "returncode" not in process:
                    os.kill(process["pid"], signal.SIGQUIT)

    def finish(self, timeout_s: float) -> None:
        """Wait for the watcher of the start to notice that everything has ended."""
        self.stopping.set()
        self._when_started.join(timeout_s)

    def given_up(self) -> list[str]:
        """The processes whose command could not be kept running."""
        return [
            name
            for name, process in self._processes.items()
            if process.get("returncode") == GAVE_UP
        ]
