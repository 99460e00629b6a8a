"""End a server process by its pid."""

import signal
import subprocess


def end(
    process: "subprocess.Popen[bytes]", number: signal.Signals = signal.SIGTERM, *, timeout_s: float
) -> None:
    """Send a signal to a process, even a paused one, and wait. Send SIGKILL after `timeout_s`."""
    if process.poll() is not None:
        return
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
