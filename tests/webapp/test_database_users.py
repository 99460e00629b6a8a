"""Production's database users: the owner of the tables, and one that may only access rows."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import yaml
from click.testing import CliRunner, Result
from flask.cli import FlaskGroup
from sqlalchemy import create_engine, make_url

from launcher.plan import ROOT
from tests.support.deprecations import Deprecated, deprecations_forbidden, deprecations_in
from tests.support.servers import DatabaseServer, MySQL, require_server
from tests.support.trading_harness import TradingHarness, migrate, opened, settings_for
from tests.webapp.client import Api, api_on, data_of
from trading import bootstrap as trading_core

OWNER, ROWS = "stocking", "stocking_rows"
# What the MySQL image runs on an empty volume before our file; only docker_process_sql matters
# here.
IMAGE = """
set -eo pipefail
docker_process_sql() {{ cat; }}
export MYSQL_DATABASE={database} MYSQL_USER={owner} MYSQL_PASSWORD=owner MYSQL_ROWS_PASSWORD=rows
echo "CREATE USER '$MYSQL_USER'@'%' IDENTIFIED BY '$MYSQL_PASSWORD';"
echo "GRANT ALL ON $MYSQL_DATABASE.* TO '$MYSQL_USER'@'%';"
. '{file}'
"""


def flask(api: Api, *arguments: str) -> Result:
    """Run a `flask` command on the API's application."""
    return CliRunner().invoke(FlaskGroup(create_app=lambda: api.app), list(arguments))


UriOf = Callable[[str, str], str]


@contextmanager
def users_of(server: DatabaseServer, uri: str) -> Iterator[UriOf]:
    """Create the users of a fresh database as on an empty volume; yield the URI for a user."""
    database = make_url(uri).database
    script = IMAGE.format(
        database=database, owner=OWNER, file=ROOT / "deploy" / "mysql" / "rows_user.sh"
    )
    sql = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True).stdout
    server.execute(*(statement for statement in sql.split(";\n") if statement.strip()))
    yield lambda user, password: uri.replace("root@", f"{user}:{password}@")
    server.execute(f"DROP USER '{OWNER}'@'%'", f"DROP USER '{ROWS}'@'%'")


@contextmanager
def rows_api_on(uri_of: UriOf, valkey_url: str) -> Iterator[Api]:
    """Yield the API as the user of the rows, after the tables' owner did what ``migrate`` does."""
    migrate(uri_of(OWNER, "owner"))
    with opened(settings_for(uri_of(OWNER, "owner"), valkey_url)) as owner:
        granted = flask(api_on(owner), "database", "grant", ROWS)
        assert granted.exit_code == 0, granted.output
        settings = settings_for(uri_of(ROWS, "rows"), valkey_url)
        core = trading_core.build(settings, deliver=owner.sent.extend, clock=owner.clock)
        try:
            yield api_on(TradingHarness(core, owner.clock, owner.sent))
        finally:
            core.close()


@pytest.fixture
def rows_api(
    database_server: DatabaseServer, empty_server_uri: str, valkey_url: str
) -> Iterator[Api]:
    """The API as the rows user, on each kind of server."""
    with (
        users_of(database_server, empty_server_uri) as uri_of,
        rows_api_on(uri_of, valkey_url) as api,
    ):
        yield api


def trade(api: Api) -> None:
    """Use trading, cash, accounts and halts, and audit."""
    person, administrator = api.person(), api.administrator()
    api.harness.tick(70_000)
    api.bought(person, 10)
    api.order(person, "SELL", 4)
    api.harness.run_all()
    data_of(api.post("/balance/deposit", person, {"amount": 1_000}), 201)
    data_of(api.post("/admin/trading/halt", administrator))
    data_of(api.post("/admin/trading/resume", administrator))
    data_of(api.close(person))
    assert api.harness.breaches() == []


@pytest.mark.every_database
def test_rows_user_can_do_what_the_product_does_and_no_more(rows_api: Api) -> None:
    """Log, ledger and events are append-only, and no table can be changed."""
    api = rows_api
    trade(api)

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
            api.harness.core.database.engine.connect() as connection,
            pytest.raises(Exception, match="denied"),
        ):
            connection.exec_driver_sql(statement)


def test_grant_accepts_only_plain_user_names(sqlite_api: Api) -> None:
    """Other names are refused before they are in a statement; SQLite has no users."""
    for name in ("x'@'%' IDENTIFIED BY 'y", "", "a b", "x" * 33, "root'"):
        assert "A user's name is" in flask(sqlite_api, "database", "grant", name).output
    assert "SQLite has no users" in flask(sqlite_api, "database", "grant", "rows").output


def production_options() -> list[str]:
    """Return MySQL's options in docker-compose.yml, except for its size, with a full error log.

    Its image leaves the binary log on.
    """
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    options = compose["services"]["mysql"]["command"]
    kept = [option for option in options if "buffer-pool" not in option]
    assert len(kept) > 4
    return [*kept, "--log-bin=binlog", "--log-error-verbosity=3"]


def test_production_settings_of_mysql_log_no_deprecation(valkey_url: str) -> None:
    """The users log in with caching_sha2_password over TLS; tables are migrated and used."""
    require_server(MySQL)
    with MySQL(options=production_options()) as server, deprecations_forbidden():
        uri = f"{server.create_database('stocking')}&ssl_ca={server.certificate}"
        uri += "&ssl_check_hostname=false"
        with users_of(server, uri) as uri_of, rows_api_on(uri_of, valkey_url) as api:
            trade(api)
            with api.harness.core.database.engine.connect() as connection:
                cipher = connection.exec_driver_sql("SHOW STATUS LIKE 'Ssl_cipher'").one()
            plugins = server.query(f"SELECT plugin FROM mysql.user WHERE user = '{ROWS}'")
        assert cipher[1]
        assert plugins == [("caching_sha2_password",)]
        assert deprecations_in(server.log()) == []


def test_deprecated_statement_is_noticed_on_mysql(migrated_mysql: str) -> None:
    """Every test on MySQL relies on it."""
    engine = create_engine(migrated_mysql)
    with engine.connect() as connection, pytest.raises(Deprecated):
        connection.exec_driver_sql("SELECT 1 AS a, 2 AS b FROM DUAL WHERE 1 && 1")
    engine.dispose()
