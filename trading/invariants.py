"""What a check of the audit is, and the SQL that checks of account events share."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One invariant: SQL for the rows at fault, for how many rows there are to look at, and for a figure (won or shares) to show."""

    name: str
    population: str
    figure: str
    faults: str

    @property
    def number(self) -> str:
        """What its name begins with, such as 2a."""
        return self.name.split()[0]


def number(member: str) -> str:
    """SQL for a whole number in an account event's data."""
    return f"CAST(JSON_EXTRACT(data, '$.{member}') AS SIGNED)"


def word(member: str) -> str:
    """SQL for a word in an account event's data, which a database gives with its quotation marks or without.

    By a short type, or MySQL sorts and groups by it on the disk.
    """
    return f"CAST(REPLACE(JSON_EXTRACT(data, '$.{member}'), '\"', '') AS CHAR(40))"


def digits(member: str) -> str:
    """SQL for an id in an account event's data, as HEX() gives that of a row."""
    return f"UPPER(REPLACE({word(member)}, '-', ''))"
