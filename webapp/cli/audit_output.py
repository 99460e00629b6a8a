"""Print the audit's findings."""

import click

from trading.audit.checks import audit
from trading.db.transactions import Database


def print_audit(database: Database) -> int:
    """Check and print every invariant; return how many are broken."""
    findings = database.snapshot(lambda session: list(audit(session)))
    for finding in findings:
        summary = "ok  " if not finding.breaches else "FAIL"
        click.echo(
            f"{summary} {finding.name}: {finding.checked:,} checked, figure "
            f"{finding.figure:,}, {finding.breaches:,} breaches"
        )
        for line in finding.sample:
            click.echo(f"       {line}")
    broken = sum(finding.breaches > 0 for finding in findings)
    click.echo(f"{len(findings)} invariants, {broken} broken.")
    return broken
