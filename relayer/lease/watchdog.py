"""A watchdog: the kernel kills this process at a set time unless the time is moved.

A process that is stopped (SIGSTOP, a frozen container) or stuck cannot close its connections. The
kernel can, by ending the process: SIGKILL also ends a stopped process, and a POSIX timer sends it
whatever the process does meanwhile.
"""

import ctypes
import signal
import time
from typing import Any, Protocol


class Watchdog(Protocol):
    """Kills the process at a set time, in seconds of ``relayer.lease.record.boot_time``."""

    def set(self, instant: float) -> None:
        """Kill the process at ``instant``, at once if that has passed. Replaces the last one."""

    def disarm(self) -> None:
        """Cancel the kill."""


class _Span(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Timer(ctypes.Structure):
    _fields_ = (("interval", _Span), ("value", _Span))


class _SignalEvent(ctypes.Structure):
    """``struct sigevent``: 64 bytes on Linux; the last 48 are unused for a plain signal."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("padding", ctypes.c_char * 48),
    )


_SIGEV_SIGNAL = 0
_TIMER_ABSTIME = 1


class PosixKillTimer:
    """Watchdog as a POSIX timer on CLOCK_BOOTTIME (timer_create(2)).

    Raises OSError if the system has no such timers.
    """

    def __init__(self) -> None:
        self._libc: Any = _library_with("timer_create")
        self._timer = ctypes.c_void_p()
        wanted = _SignalEvent(signal=signal.SIGKILL, notify=_SIGEV_SIGNAL)
        self._check(
            self._libc.timer_create(
                time.CLOCK_BOOTTIME, ctypes.byref(wanted), ctypes.byref(self._timer)
            )
        )

    def set(self, instant: float) -> None:
        seconds, rest = divmod(max(instant, 1.0), 1.0)
        self._settime(_Span(int(seconds), int(rest * 1e9)))

    def disarm(self) -> None:
        self._settime(_Span(0, 0))

    def _settime(self, value: _Span) -> None:
        timer = _Timer(_Span(0, 0), value)
        self._check(
            self._libc.timer_settime(self._timer, _TIMER_ABSTIME, ctypes.byref(timer), None)
        )

    @staticmethod
    def _check(result: int) -> None:
        if result != 0:
            number = ctypes.get_errno()
            raise OSError(number, "a timer of the system failed")


class NoWatchdog:
    """Watchdog that never kills, for tests and for systems without such timers."""

    def set(self, instant: float) -> None:
        pass

    def disarm(self) -> None:
        pass


def kill_timer() -> Watchdog:
    """Return the system's watchdog, or one that never kills."""
    try:
        return PosixKillTimer()
    except (OSError, AttributeError):
        return NoWatchdog()


def _library_with(function: str) -> Any:
    """Return the C library, or librt, which has the timers before glibc 2.34."""
    libc = ctypes.CDLL(None, use_errno=True)
    return libc if hasattr(libc, function) else ctypes.CDLL("librt.so.1", use_errno=True)
