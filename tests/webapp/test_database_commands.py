"""docs/database.md agrees with the models."""

import re

from click.testing import CliRunner
from flask.cli import FlaskGroup
from sqlalchemy import CheckConstraint

from launcher.plan import ROOT
from tests.webapp.client import Api
from trading.db.declarative import Base

PAGE = (ROOT / "docs" / "database.md").read_text(encoding="utf-8")
TABLES = Base.metadata.sorted_tables


def test_page_is_the_output_of_the_command(sqlite_api: Api) -> None:
    """Run ``flask database describe > docs/database.md`` when a model changes."""
    printed = CliRunner().invoke(
        FlaskGroup(create_app=lambda: sqlite_api.app), ["database", "describe"]
    )

    assert printed.exit_code == 0
    assert printed.output == PAGE


def test_every_table_is_described_with_columns_and_checks() -> None:
    """The descriptions are the models' docstrings."""
    sections = {section.partition("\n")[0]: section for section in PAGE.split("\n### ")[1:]}

    assert set(sections) == {table.name for table in TABLES}
    for table in TABLES:
        section = sections[table.name]
        assert re.match(rf"{table.name}\n\n[A-Z]", section), f"{table.name} has no words"
        assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [
            column.name for column in table.columns
        ]
        checks = {str(one.sqltext) for one in table.constraints if isinstance(one, CheckConstraint)}
        assert set(re.findall(r"^- check `\w+`: `(.+)`$", section, re.MULTILINE)) == checks


def test_every_reference_is_in_the_diagram() -> None:
    """With its cardinalities."""
    relation = re.compile(r"^    (\w+) [|][o|]--o[{|] (\w+) : (\w+)$", re.MULTILINE)
    references = {
        (key.column.table.name, table.name, key.parent.name)
        for table in TABLES
        for key in table.foreign_keys
    }

    assert set(relation.findall(PAGE)) == references
    assert "    users ||--o| virtual_balances : user_id\n" in PAGE
    assert "    users ||--o{ orders : user_id\n" in PAGE
    assert "    order_executions |o--o| transactions : execution_id\n" in PAGE
