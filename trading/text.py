"""Free text that people type and paste: one canonical form without invisible characters."""

import re
import unicodedata
from dataclasses import dataclass

# Invisible characters without a meaning in Korean or English text: soft hyphen, joiners, zero-width
# and word-joining spaces, fillers that make a name appear empty, and the directional controls,
# which can make a text appear as another one.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b\u200c\u200e\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0080-\U000e00ff\U000e01f0-\U000e0fff]"
)
_EMOJI = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u24c2\u25a0-\u27bf"
    "\u2900-\u297f\u2b00-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
)
_IDEOGRAPHS = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Tag characters spell the regions of flags, such as Scotland's.
_FLAG_OR_TAG = re.compile("(\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f)|[\U000e0000-\U000e007f]")
_JOINER_OUTSIDE_EMOJI = re.compile(
    f"(?<![{_EMOJI}])(?<![{_EMOJI}]\ufe0f)\u200d|\u200d(?![{_EMOJI}])"
)
_STRAY_SELECTOR = re.compile(
    f"(?<![{_EMOJI}0-9#*])[\ufe0e\ufe0f]|(?<![{_IDEOGRAPHS}])[\ufe00-\ufe0d\U000e0100-\U000e01ef]"
)
_LINE_BREAK = re.compile("\r\n|[\r\u2028\u2029]")
_BREAKS = "\t\n\r\u2028\u2029"
_SPACES = "".join(map(chr, (0x20, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000)))
_EDGES = _BREAKS + _SPACES


@dataclass
class RefusedCharacter(Exception):
    """A character that free text must not contain; `position` counts from 1."""

    position: int
    character: str

    def __str__(self) -> str:
        return (
            f"Character {self.position} (U+{ord(self.character):04X}) must not be in a text"
            f"{' of one line' if self.is_break else ''}."
        )

    @property
    def is_break(self) -> bool:
        """Return True for a line break or a tab in a text of one line."""
        return self.character in _BREAKS


def clean_text(text: str, *, multiline: bool) -> str:
    """Return a text in its canonical form (NFC), without invisible characters and outer spaces.

    Emoji sequences and all kinds of spaces are kept. Line breaks become "\\n". The result is
    unchanged when it is cleaned again, may be empty, and can be encoded as UTF-8. Raises
    RefusedCharacter for control characters and unpaired surrogates, and for a line break or a tab
    inside the text unless `multiline`.
    """
    _check_characters(text, multiline=multiline)
    composed = unicodedata.normalize("NFC", drop_invisible(_LINE_BREAK.sub("\n", text)))
    return composed.strip(_EDGES)


def drop_invisible(text: str) -> str:
    """Return the text without zero-width characters that belong to no emoji or ideograph."""
    text = unicodedata.normalize("NFC", _FLAG_OR_TAG.sub(r"\1", _IGNORABLE.sub("", text)))
    return _STRAY_SELECTOR.sub("", _JOINER_OUTSIDE_EMOJI.sub("", text))


def _check_characters(text: str, *, multiline: bool) -> None:
    begin = len(text) - len(text.lstrip(_EDGES))
    end = len(text.rstrip(_EDGES))
    for index, character in enumerate(text):
        if character in _BREAKS:
            if multiline or not begin <= index < end:
                continue
        elif unicodedata.category(character) not in ("Cc", "Cs"):
            continue
        raise RefusedCharacter(index + 1, character)
