"""Print the audit's findings."""

import click

from trading.audit.checks import audit
from trading.unit_of_work import UseCaseRunner


def print_audit(core: UseCaseRunner) -> int:
    """Check and print every invariant; return how many are broken."""
    findings = core.snapshot(audit)
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
