"""Checks of the audit, and SQL expressions for data of account events."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One invariant: SQL for the violating rows, the checked rows' number, a figure to show."""

    name: str
    population: str
    figure: str
    faults: str

    @property
    def number(self) -> str:
        """Return the check's number, such as 2a, from its name."""
        return self.name.split()[0]


def number(member: str) -> str:
    """Return SQL for an integer in an account event's data."""
    return f"CAST(JSON_EXTRACT(data, '$.{member}') AS SIGNED)"


def word(member: str) -> str:
    """Return SQL for a word in an account event's data, without quotation marks.

    It has a short type, or MySQL would sort and group on disk.
    """
    return f"CAST(REPLACE(JSON_EXTRACT(data, '$.{member}'), '\"', '') AS CHAR(40))"


def digits(member: str) -> str:
    """Return SQL for an id in an account event's data, as HEX() returns a row's id."""
    return f"UPPER(REPLACE({word(member)}, '-', ''))"
