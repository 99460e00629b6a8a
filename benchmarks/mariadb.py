"""A private MariaDB server for benchmarks and tests."""

import getpass
import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.database_server import DatabaseServer, DatabaseServerError, tail

# Folders that are rarely on a normal user's PATH.
_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec")


def _program(name: str) -> str | None:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS])
    return shutil.which(name, path=path)


class MariaDB(DatabaseServer):
    """A server of the MariaDB that is installed on this machine."""

    name = "MariaDB"
    collation = "utf8mb4_unicode_ci"

    @classmethod
    def missing(cls) -> str | None:
        """Return that MariaDB is not installed, or None."""
        if _program("mariadbd") and _program("mariadb-install-db"):
            return None
        return "MariaDB is not installed (mariadbd and mariadb-install-db)."

    def _initialize(self, folder: Path) -> None:
        command = [
            str(_program("mariadb-install-db")),
            "--no-defaults",
            f"--datadir={folder / 'data'}",
            # Servers that share this folder would delete each other's temporary tables.
            f"--tmpdir={folder}",
            f"--user={getpass.getuser()}",
            "--auth-root-authentication-method=normal",
            "--skip-name-resolve",
            "--skip-test-db",
            "--innodb-flush-log-at-trx-commit=0",
        ]
        log = self._log_of(folder)
        with log.open("ab") as output:
            installed = subprocess.run(command, stdout=output, stderr=output, check=False)
        if installed.returncode != 0:
            raise DatabaseServerError(f"mariadb-install-db failed:\n{tail(log)}")

    def _server_command(self) -> list[str]:
        return [
            str(_program("mariadbd")),
            "--no-defaults",
            f"--user={getpass.getuser()}",
            "--innodb-buffer-pool-size=256M",
            "--skip-name-resolve",
            "--skip-log-bin",
        ]
