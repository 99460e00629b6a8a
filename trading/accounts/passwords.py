"""Normal form and bounds of passwords (NIST SP 800-63B-4, 3.1.1.2)."""

import unicodedata

# Characters, as typed and as normalized, and their bytes in UTF-8. Argon2 uses all of them.
LENGTH_MAX = 128
OCTETS_MAX = 512


def normalized(password: str) -> str:
    """Return the password in NFKC, so that the same keys give the same password on every system.

    Text longer than any password is returned unchanged: normalizing takes time that grows with the
    square of the length.
    """
    return unicodedata.normalize("NFKC", password) if len(password) <= LENGTH_MAX else password
