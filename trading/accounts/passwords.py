"""Passwords as text: the one form in which they are compared, and their bounds (NIST SP 800-63B-4, 3.1.1.2)."""

import unicodedata

# Characters, as typed and as normalised; and what these may take in UTF-8. Argon2 takes all of them: nothing is ever cut off.
LENGTH_MAX = 128
OCTETS_MAX = 512


def normalized(password: str) -> str:
    """The password in NFKC, in which the same keys give the same password on every system.

    What is longer than any password stays as it is: putting its accents in order takes time that grows with the square of its length.
    """
    return unicodedata.normalize("NFKC", password) if len(password) <= LENGTH_MAX else password
