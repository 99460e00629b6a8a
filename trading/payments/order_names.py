"""What a payment is for, as the payer reads it in the payment gateway's window.

Each gateway has rules of its own: four cut off after 40 octets, one fails on ``%&|$-+=[]``, another on a backslash or a comma. What only
decorates is taken out; a name that is still too long, or of nothing, is refused rather than shown in part.
"""

import re
import unicodedata

from trading.errors import ValidationFailed

OCTETS_MAX = 40
# EUC-KR, in which some gateways count, takes two octets for a Korean syllable and UTF-8 three; the larger count is safe for all.
_DISLIKED = re.compile(r"[%&|$\-+=\[\]\\,<>\"'`^{}~]")
_SPACE = re.compile(r"\s+")


def clean_order_name(text: str) -> str:
    """The name as it is stored and shown: composed characters, single spaces, and a space for each sign that a gateway dislikes.

    Raises ValidationFailed for control characters and others that can't be shown, for emoji, and unless 1 to OCTETS_MAX octets of UTF-8 are left.
    """
    plain = unicodedata.normalize("NFC", text)
    if any(not _is_shown(character) for character in plain):
        raise ValidationFailed(field="order_name", limit=OCTETS_MAX)
    name = _SPACE.sub(" ", _DISLIKED.sub(" ", plain)).strip()
    if not 1 <= len(name.encode()) <= OCTETS_MAX:
        raise ValidationFailed(field="order_name", limit=OCTETS_MAX)
    return name


def _is_shown(character: str) -> bool:
    # Beyond the basic plane there are emoji, of which some gateways' character sets have none.
    return character.isprintable() and ord(character) <= 0xFFFF
