"""Production's users of the database: the owner of the tables, and one for the processes who works with rows and with nothing else."""

import subprocess
from collections.abc import Callable, Iterator

import pymysql
import pytest
from click.testing import CliRunner, Result
from flask.cli import FlaskGroup

from launcher.plan import ROOT
from launcher.ports import LOOPBACK
from tests.books import Books, migrate, opened, settings_for
from tests.servers import DatabaseServer
from tests.webapp.client import Api, api_on, data_of
from trading import core as trading_core

OWNER, ROWS = "stocking", "stocking_rows"
# What MySQL's image does on an empty volume before it sources our file, whose only word for it is docker_process_sql.
IMAGE = """
set -eo pipefail
docker_process_sql() {{ cat; }}
export MYSQL_DATABASE={database} MYSQL_USER={owner} MYSQL_PASSWORD=owner MYSQL_ROWS_PASSWORD=rows
echo "CREATE USER '$MYSQL_USER'@'%' IDENTIFIED BY '$MYSQL_PASSWORD';"
echo "GRANT ALL ON $MYSQL_DATABASE.* TO '$MYSQL_USER'@'%';"
. '{file}'
"""


def flask(api: Api, *arguments: str) -> Result:
    """``flask`` with these arguments, on the API's application."""
    return CliRunner().invoke(FlaskGroup(create_app=lambda: api.app), list(arguments))


def as_root(server: DatabaseServer, *statements: str) -> None:
    connection = pymysql.connect(host=LOOPBACK, port=server.port, user="root")
    with connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def uri_of(
    database_server: DatabaseServer, empty_server_uri: str
) -> Iterator[Callable[[str, str], str]]:
    """The address of a fresh database for each of its users, who are made as on an empty volume."""
    database = empty_server_uri.rpartition("/")[2].partition("?")[0]
    script = IMAGE.format(
        database=database, owner=OWNER, file=ROOT / "deploy" / "mysql" / "rows_user.sh"
    )
    sql = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stdout
    as_root(database_server, *(statement for statement in sql.split(";\n") if statement.strip()))
    yield lambda user, password: empty_server_uri.replace("root@", f"{user}:{password}@")
    as_root(database_server, f"DROP USER '{OWNER}'@'%'", f"DROP USER '{ROWS}'@'%'")


@pytest.fixture
def rows_api(uri_of: Callable[[str, str], str], valkey_url: str) -> Iterator[Api]:
    """The API as the user of the rows, behind what ``migrate`` does as the tables' owner."""
    migrate(uri_of(OWNER, "owner"))
    with opened(settings_for(uri_of(OWNER, "owner"), valkey_url)) as owner:
        granted = flask(api_on(owner), "database", "grant", ROWS)
        assert granted.exit_code == 0, granted.output
        settings = settings_for(uri_of(ROWS, "rows"), valkey_url)
        core = trading_core.build(settings, deliver=owner.sent.extend, clock=owner.clock)
        try:
            yield api_on(Books(core, owner.clock, owner.sent))
        finally:
            core.close()


def test_the_user_of_the_rows_can_do_all_that_the_product_does_and_no_more(rows_api: Api) -> None:
    """Trading, cash, accounts, halts and purges work; the log, the ledger and the events can only grow, and no table can be changed."""
    api = rows_api
    person, administrator = api.person(), api.administrator()
    api.books.tick(70_000)
    api.bought(person, 10)
    api.order(person, "SELL", 4)
    api.books.run_all()
    data_of(api.post("/balance/deposit", person, {"amount": 1_000}), 201)
    data_of(api.post("/admin/trading/halt", administrator))
    data_of(api.post("/admin/trading/resume", administrator))
    data_of(api.ask("DELETE", "/users/me", person))
    assert api.books.breaches() == []
    assert flask(api, "audit").exit_code == 0

    for statement in (
        "UPDATE admin_actions SET target = 'x'",
        "DELETE FROM admin_actions",
        "UPDATE admin_action_outcomes SET outcome = 'x'",
        "DELETE FROM admin_action_outcomes",
        "DELETE FROM transactions",
        "UPDATE transactions SET amount = 1",
        "DELETE FROM account_events",
        "DROP TABLE admin_actions",
        "CREATE TABLE mine (id INT)",
        "ALTER TABLE users ADD COLUMN x INT",
        "TRUNCATE TABLE orders",
        "SELECT * FROM mysql.user",
        "GRANT SELECT ON users TO 'stocking_rows'@'%%'",
    ):
        with (
            api.books.core.database.engine.connect() as connection,
            pytest.raises(Exception, match="denied"),
        ):
            connection.exec_driver_sql(statement)


def test_only_a_users_name_is_granted_anything(sqlite_api: Api) -> None:
    """What is no plain name is refused before it is in a statement; SQLite has no users at all."""
    for name in ("x'@'%' IDENTIFIED BY 'y", "", "a b", "x" * 33, "root'"):
        assert "A user's name is" in flask(sqlite_api, "database", "grant", name).output
    assert "SQLite has no users" in flask(sqlite_api, "database", "grant", "rows").output
