"""How a server of ours is ended: by its own process, never by its name."""

import signal
import subprocess


def end(
    process: "subprocess.Popen[bytes]", number: signal.Signals = signal.SIGTERM, *, timeout_s: float
) -> None:
    """Send the signal to a process, paused or not, and wait for its end; SIGKILL when it has not ended within ``timeout_s``."""
    if process.poll() is not None:
        return
    process.send_signal(number)
    process.send_signal(signal.SIGCONT)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
