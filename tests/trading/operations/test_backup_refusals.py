"""Databases and files that are not of this product are neither backed up nor restored."""

import gzip
from pathlib import Path

import pytest
from flask_migrate import upgrade
from sqlalchemy import create_engine, text

from tests.support.servers import require_dump
from tests.support.trading_harness import settings_for
from trading import bootstrap as trading_core
from trading.operations import backups
from trading.operations.backups import Backup, BackupFailed
from webapp import create_app
from webapp.cli.migrations import this_release

NO_REDIS = "redis://127.0.0.1:1/0"
RELEASE = this_release()


def write_backup(uri: str, file: Path) -> Backup:
    return backups.write_backup(uri, file, release=RELEASE)


def restore_backup(uri: str, file: Path) -> Backup:
    return backups.restore_backup(uri, file, release=RELEASE)


def sqlite_with(file: Path, *statements: str) -> str:
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()
    file.touch()
    return f"sqlite:///{file}"


OTHER_DATABASES: dict[str, tuple[list[str], str]] = {
    "empty": ([], "none of this product's tables"),
    "other tables": (["CREATE TABLE notes (x TEXT)"], "none of this product's tables"),
    "another product's revision": (
        [
            "CREATE TABLE alembic_version (version_num TEXT)",
            "INSERT INTO alembic_version VALUES ('0009')",
        ],
        "lacks this product's tables order_executions, orders",
    ),
    "tables without a revision": (["DELETE FROM alembic_version"], "has no revision"),
    "another release": (
        ["UPDATE alembic_version SET version_num = '9999'"],
        "at revision 9999, which this release does not have",
    ),
    "a missing table": (["DROP TABLE account_events"], "lacks this product's tables acc"),
}


@pytest.fixture(params=OTHER_DATABASES)
def other_database(
    request: pytest.FixtureRequest, tmp_path: Path, migrated_sqlite: str
) -> tuple[str, str]:
    """Return a database that is refused, and the reason."""
    statements, message = OTHER_DATABASES[request.param]
    file = tmp_path / "other.db"
    if not (statements and statements[0].startswith("CREATE")) and request.param != "empty":
        write_backup(migrated_sqlite, tmp_path / "whole.gz")
        restore_backup(f"sqlite:///{file}", tmp_path / "whole.gz")
    return sqlite_with(file, *statements), message


def test_database_of_another_product_is_not_backed_up(
    other_database: tuple[str, str], tmp_path: Path
) -> None:
    uri, message = other_database

    with pytest.raises(BackupFailed, match=message):
        write_backup(uri, tmp_path / "x.gz")

    assert not (tmp_path / "x.gz").exists()


def test_file_of_another_product_is_not_restored(
    other_database: tuple[str, str], tmp_path: Path
) -> None:
    uri, message = other_database
    file, target = tmp_path / "other.gz", tmp_path / "target.db"
    file.write_bytes(gzip.compress(Path(uri.removeprefix("sqlite:///")).read_bytes()))
    if "none of" in message and not gzip.decompress(file.read_bytes()):
        message = "is empty"

    with pytest.raises(BackupFailed, match=message):
        restore_backup(f"sqlite:///{target}", file)

    assert not target.exists()


def test_missing_sqlite_file_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(BackupFailed, match="no database"):
        write_backup(f"sqlite:///{tmp_path}/nowhere.db", tmp_path / "x.gz")
    assert list(tmp_path.iterdir()) == []


def test_server_database_of_another_product_is_refused(
    empty_server_uri: str, server_uri: str, tmp_path: Path
) -> None:
    """Its dump is not restored either, nor one of another release."""
    require_dump()
    with pytest.raises(BackupFailed, match="none of this product's tables"):
        write_backup(empty_server_uri, tmp_path / "x.gz")
    write_backup(server_uri, tmp_path / "whole.gz")
    whole = gzip.decompress((tmp_path / "whole.gz").read_bytes())
    head, end = whole[: whole.index(b"\nCREATE TABLE")], b"\n-- Dump completed\n"
    other = {
        "none of this product's tables": head + end,
        "lacks this product's tables orders\\.": whole.replace(
            b"\nCREATE TABLE `orders`", b"\nCREATE TABLE `orders2`"
        ),
        "revision 9999, which this release": whole.replace(
            f"VALUES\n('{RELEASE.newest}')".encode(), b"VALUES\n('9999')"
        ).replace(f"VALUES ('{RELEASE.newest}')".encode(), b"VALUES ('9999')"),
    }
    for message, content_of_dump in other.items():
        (tmp_path / "other.gz").write_bytes(gzip.compress(content_of_dump))
        with pytest.raises(BackupFailed, match=message):
            restore_backup(empty_server_uri, tmp_path / "other.gz")

    restore_backup(empty_server_uri, tmp_path / "whole.gz")
    assert not (tmp_path / "x.gz").exists()


def test_core_tables_exist_at_every_revision(tmp_path: Path) -> None:
    """Otherwise a backup of an old release would be refused."""
    uri = f"sqlite:///{tmp_path}/old.db"
    core = trading_core.build(settings_for(uri, NO_REDIS))
    try:
        with create_app(core).app_context():
            for revision in sorted(RELEASE.revisions):
                upgrade(revision=revision)
                write_backup(uri, tmp_path / f"{revision}.gz")
    finally:
        core.close()
