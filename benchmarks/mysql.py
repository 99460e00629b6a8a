"""A private MySQL server for tests, from the copy unpacked by `scripts/unpack-mysql`."""

import os
import shutil
from pathlib import Path

from benchmarks.database_server import DatabaseServer


def unpacked_mysql() -> Path:
    """Return the folder into which ``scripts/unpack-mysql`` unpacks: ``bin``, ``usr``, ``data``."""
    cache = os.environ.get("STOCKING_TEST_CACHE")
    return (Path(cache) if cache else Path.home() / ".cache" / "stocking") / "mysql"


class MySQL(DatabaseServer):
    """A server that starts with a copy of the initialised data folder in the cache."""

    name = "MySQL"
    collation = "utf8mb4_bin"

    @property
    def certificate(self) -> Path:
        """The CA certificate of the running server's own certificate."""
        return self._started_folder() / "data" / "ca.pem"

    @classmethod
    def missing(cls) -> str | None:
        """Return that MySQL is not unpacked, or None."""
        if (unpacked_mysql() / "bin" / "mysqld").exists():
            return None
        return "MySQL is not unpacked (scripts/unpack-mysql)."

    def _initialize(self, folder: Path) -> None:
        shutil.copytree(unpacked_mysql() / "data", folder / "data")
        # Each server gets its own identity.
        (folder / "data" / "auto.cnf").unlink(missing_ok=True)

    def _server_command(self) -> list[str]:
        return [
            str(unpacked_mysql() / "bin" / "mysqld"),
            "--no-defaults",
            *(["--user=root"] if os.geteuid() == 0 else []),
            f"--basedir={unpacked_mysql() / 'usr'}",
            "--secure-file-priv=NULL",
            "--mysqlx=OFF",
            "--performance-schema=OFF",
            "--innodb-buffer-pool-size=128M",
            "--innodb-redo-log-capacity=16M",
            "--innodb-use-native-aio=OFF",
            "--skip-log-bin",
            # MySQL 9.7.4 does not check a foreign key of a new row whose index contains a NULL,
            # unless InnoDB itself checks it, as in older versions.
            "--loose-innodb-native-foreign-keys=ON",
            *([] if self._durable else ["--innodb-doublewrite=OFF"]),
        ]
