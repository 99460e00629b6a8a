"""The state folder of an installation, and the environment file by which commands find it.

The launcher writes the file with the settings of the processes that it starts. Commands read it;
variables of their own environment take precedence.
"""

import os
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path

from trading.config.settings import Settings, SettingsError

FOLDER_VARIABLE = "STOCKING_VAR"
FILE_NAME = "stocking.env"
_ROOT = Path(__file__).resolve().parents[2]


# Settings of single processes, which commands must not take over.
_OF_PROCESSES = frozenset(
    {"gateway_host", "gateway_port", "liveness_file", "log_format", "log_level", "metrics_port"}
)


def state_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Return the folder for all files of the installation; it may not exist.

    ``environment`` is by default that of the process. Raise SettingsError for the home folder of an
    unknown user, or a loop of links.
    """
    given = os.environ if environment is None else environment
    folder = Path(given.get(FOLDER_VARIABLE) or _ROOT / "var")
    try:
        return folder.expanduser().resolve()
    except (RuntimeError, OSError) as error:
        raise _fault(folder, f"is no folder ({error}); correct {FOLDER_VARIABLE}") from None


def write_environment_file(folder: Path, environment: Mapping[str, str]) -> Path:
    """Write the settings in ``environment`` to the folder's file and return its path.

    The file replaces an older one at once. Only this user may read it, as it contains secrets. A
    shell can source it.
    """
    lines = ["# Written at each start for commands in other terminals. Changes are lost."]
    lines += [
        f"{name}={shlex.quote(environment[name])}"
        for name in sorted(environment)
        if _is_stored(name) and environment[name]
    ]
    path = folder / FILE_NAME
    handle, part = tempfile.mkstemp(prefix=f".{FILE_NAME}.", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        Path(part).replace(path)
    finally:
        Path(part).unlink(missing_ok=True)
    return path


def command_environment(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a command: the installation's settings, replaced by ``given``.

    Without a database in either, it is the SQLite file of the state folder, as for the launcher.
    ``given`` is by default the environment of the process. Raise SettingsError if the file cannot
    be read.
    """
    own = os.environ if given is None else given
    folder = state_folder(own)
    environment = _read(folder / FILE_NAME)
    environment |= {name: value for name, value in own.items() if value}
    environment.setdefault("DATABASE_URI", f"sqlite:///{folder / 'stocking.db'}")
    return environment


def _read(path: Path) -> dict[str, str]:
    try:
        words = shlex.split(path.read_text(encoding="utf-8"), comments=True)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise _fault(path, f"cannot be read ({error.strerror})") from None
    except ValueError:
        raise _fault(path, "is damaged; the next start writes it again") from None
    pairs = (word.partition("=") for word in words)
    return {name: value for name, _, value in pairs if _is_stored(name)}


def _is_stored(name: str) -> bool:
    field = name.lower()
    return field in Settings.model_fields and field not in _OF_PROCESSES


def _fault(path: Path, reason: str) -> SettingsError:
    return SettingsError(f"The settings have faults:\n  {path}: {reason}")
