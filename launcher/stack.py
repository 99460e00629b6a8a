"""The Procfile's processes, each under a supervisor, run by honcho."""

import contextlib
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable
from logging import makeLogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import FrameType
from typing import Any
from zoneinfo import ZoneInfo

from honcho.manager import Manager
from honcho.printer import Message, Printer
from honcho.process import Process

from launcher.log_files import begin_log
from launcher.parent_death_signal import set_parent_death_signal
from launcher.plan import ROOT, Plan
from launcher.supervisor import DEFAULT_GRACE_S

# On the terminal; the lines themselves have their own times in UTC.
KST = ZoneInfo("Asia/Seoul")
TIME_FORMAT = "%H:%M:%S+09:00"
GAVE_UP_STATUS = 1  # Exit status of a supervisor whose command kept failing.


class _LogPrinter(Printer):
    """honcho's printer, which also writes each process's lines to its own file. `echo` prints them
    too.
    """

    def __init__(self, logs: Path, *, echo: bool) -> None:
        super().__init__(sys.stdout, time_format=TIME_FORMAT, colour=not os.environ.get("NO_COLOR"))
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
            # honcho's time is the machine's local time, without an offset.
            super().write(message._replace(time=message.time.astimezone(KST)))

    def _file(self, name: str) -> RotatingFileHandler:
        if name not in self._files:
            self._files[name] = begin_log(self._logs / f"{name}.log")
        return self._files[name]


class _Process(Process):
    """honcho's reader of one command's output. It ignores SIGINT and dies with the launcher."""

    def run(self, *arguments: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        set_parent_death_signal(signal.SIGKILL)
        super().run(*arguments)


class Stack(Manager):
    """Runs the plan's processes. honcho's `loop` returns when all of them have ended."""

    def __init__(self, plan: Plan, *, echo: bool, when_started: Callable[["Stack"], None]) -> None:
        super().__init__(_LogPrinter(plan.logs, echo=echo))
        self._process_ctor = _Process
        self._when_started = threading.Thread(
            target=when_started, args=(self,), name="when-started", daemon=True
        )
        self._signalled = False
        self._kill_at: float | None = None
        self.stopping = threading.Event()
        for name, command in plan.commands.items():
            variable = f"SUPERVISED_{name.upper()}"
            supervisor = shlex.join(
                [sys.executable, "-m", "launcher.supervisor", "--variable", variable]
            )
            self.add_process(
                name,
                f"exec {supervisor}",
                env={**plan.environment, variable: command},
                cwd=str(ROOT),
            )

    def _start(self) -> None:
        """Start all processes, then the thread. Forking with a running thread would be unsafe."""
        super()._start()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._when_started.start()

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Stop in order at the first signal, and kill at the second."""
        if self._signalled:
            self._kill_now()
        self._signalled = True
        self.terminate()

    def terminate(self) -> None:
        """Stop all processes in order. A stop during the start waits for the end of the start."""
        self.stopping.set()
        if super()._all_started():
            super().terminate()

    def _all_started(self) -> bool:
        """Return True if all processes have started. honcho calls this in its loop.

        It is also where a stop that waited for the start takes effect.
        """
        started = bool(super()._all_started())
        if started and self.stopping.is_set():
            super().terminate()
        return started

    def kill(self) -> None:
        """Kill the processes that are left, once their supervisors' grace time has passed.

        honcho calls this continually from 5 s after the first process has ended, which may be
        before a supervisor stops waiting for its command.
        """
        if self._kill_at is None:
            self._kill_at = time.monotonic() + DEFAULT_GRACE_S
        if time.monotonic() >= self._kill_at:
            super().kill()

    def _kill_now(self) -> None:
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                if process.get("pid") and "returncode" not in process:
                    os.kill(process["pid"], signal.SIGQUIT)

    def finish(self, timeout_s: float) -> None:
        """Wait for the thread to end after all processes have ended."""
        self.stopping.set()
        self._when_started.join(timeout_s)

    def given_up(self) -> list[str]:
        """Return the processes whose command could not be kept running."""
        return [
            name
            for name, process in self._processes.items()
            if process.get("returncode") == GAVE_UP_STATUS
        ]
