"""Install a requirements file into this interpreter's environment, and show progress.

This runs before any package is installed, so it uses the standard library only.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

LOG_INTERVAL_S = 5.0


class Progress:
    """Counts packages in pip's output and in site-packages."""

    def __init__(self, pinned: int) -> None:
        self.pinned = pinned
        self.collected = 0
        self.installing = 0
        self._site = Path(sysconfig.get_paths()["purelib"])
        self._before = self._present()

    def _present(self) -> int:
        return sum(1 for _ in self._site.glob("*.dist-info"))

    def read(self, output: Iterable[str]) -> None:
        """Count the lines of pip's output until its end."""
        for line in output:
            if line.startswith("Ignoring "):
                self.pinned -= 1
            elif line.startswith(("Collecting ", "Requirement already satisfied: ")):
                self.collected += 1
            elif line.startswith("Installing collected packages: "):
                self.installing = line.count(",") + 1

    def __str__(self) -> str:
        if self.installing:
            installed = min(self._present() - self._before, self.installing)
            return f"Installed {installed} of {self.installing} packages"
        return f"Downloaded {self.collected} of {self.pinned} packages"


def install_with_uv(requirements: Path) -> int:
    """Run uv, which shows its own progress on a terminal; return its exit status."""
    command = ["uv", "pip", "install", "--compile-bytecode", "--require-hashes"]
    command += ["--python", sys.executable, "--requirement", str(requirements)]
    # With private certificate authorities, only the system's store has the certificates.
    environment = {"UV_SYSTEM_CERTS": "1", **os.environ}
    if sys.stderr.isatty():
        return subprocess.run(command, env=environment, check=False).returncode
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            if not line.startswith((" + ", " - ", " ~ ")):  # one line for each package
                print(line, end="", file=sys.stderr, flush=True)
    return process.returncode


def install_with_pip(requirements: Path) -> int:
    """Run pip and show one line of progress; return its exit status."""
    if find_spec("pip") is None:  # uv creates environments without pip
        command = [sys.executable, "-m", "ensurepip"]
        if subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode:
            message = "pip is missing: install uv or Python's venv module (Debian: python3-venv)."
            print(message, file=sys.stderr)
            return 1
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    command += ["--progress-bar", "off", "--require-hashes", "--requirement", str(requirements)]
    progress = Progress(sum("==" in line for line in requirements.read_text().splitlines()))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        reader = Thread(target=progress.read, args=(process.stdout or [],))
        reader.start()
        shown = show(process, progress)
        reader.join()
    if process.returncode == 0 and str(progress) != shown:
        print(progress, flush=True)
    return process.returncode


def show(process: subprocess.Popen[str], progress: Progress) -> str:
    """Print the progress until the process ends: in place on a terminal, else as lines of a log.

    Return the last line of the log.
    """
    terminal = sys.stdout.isatty()
    shown, shown_at = "", time.monotonic()
    while True:
        try:
            process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            text = str(progress)
            if terminal:
                print(f"\r{text}", end="", flush=True)
            elif text != shown and time.monotonic() - shown_at >= LOG_INTERVAL_S:
                print(text, flush=True)
                shown, shown_at = text, time.monotonic()
        else:
            if terminal:
                print("\r\033[K", end="", flush=True)
            return shown


def has_uv() -> bool:
    """Return True if uv is on the PATH and starts. A pyenv shim may not."""
    return (
        bool(shutil.which("uv"))
        and not subprocess.run(["uv", "--version"], capture_output=True, check=False).returncode
    )


def install(requirements: Path) -> int:
    """Install with uv if it works, else with pip. Return the exit status."""
    if has_uv():
        if install_with_uv(requirements) == 0:
            return 0
        print("uv could not install the packages: trying pip", flush=True)
    return install_with_pip(requirements)


def main() -> int:
    """Install the file that the first argument names; return the exit status."""
    try:
        return install(Path(sys.argv[1]))
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
