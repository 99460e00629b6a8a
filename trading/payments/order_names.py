"""Names of payments as the payer reads them in the payment gateway's window.

Each gateway has its own rules: four truncate after 40 octets, one fails on ``%&|$-+=[]``, another
on a backslash or a comma. Decorative characters are removed; a name that is still too long or empty
is refused rather than truncated.
"""

import re
import unicodedata

from trading.errors import ValidationFailed

OCTETS_MAX = 40
# Some gateways count in EUC-KR, where a Korean syllable takes two octets; in UTF-8 it takes three.
# The larger count is safe for all.
_REJECTED_CHARACTERS = re.compile(r"[%&|$\-+=\[\]\\,<>\"'`^{}~]")
_SPACE = re.compile(r"\s+")


def clean_order_name(text: str) -> str:
    """Return the name as it is stored and shown.

    Characters are composed (NFC), and each character that a gateway rejects becomes a space; spaces
    are collapsed. Raises ValidationFailed for control and unprintable characters, for emoji, and
    unless 1 to OCTETS_MAX octets of UTF-8 remain.
    """
    composed = unicodedata.normalize("NFC", text)
    if any(not _is_displayable(character) for character in composed):
        raise ValidationFailed(field="order_name", limit=OCTETS_MAX)
    name = _SPACE.sub(" ", _REJECTED_CHARACTERS.sub(" ", composed)).strip()
    if not 1 <= len(name.encode()) <= OCTETS_MAX:
        raise ValidationFailed(field="order_name", limit=OCTETS_MAX)
    return name


def _is_displayable(character: str) -> bool:
    # Emoji lie beyond the basic plane; some gateways' character sets do not contain them.
    return (character.isprintable() or unicodedata.category(character) == "Zs") and ord(
        character
    ) <= 0xFFFF
