"""What a check of the audit is."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One invariant: SQL for the rows at fault, for how many rows there are to look at, and for a figure (won or shares) to show."""

    name: str
    population: str
    figure: str
    faults: str
