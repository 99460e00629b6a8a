"""Korean search text: syllables, initial consonants (``ㅅㅅㅈㅈ``), or both mixed (``삼ㅅ``).

A syllable's code point is 0xAC00 + (initial x 21 + medial) x 28 + final (The Unicode Standard,
section 3.12, "Conjoining Jamo Behavior"). So all syllables with the same initial are contiguous,
and so are those with the same initial and medial.
"""

import re
import unicodedata
from collections.abc import Iterable

from trading.text import drop_invisible

_FIRST_SYLLABLE = 0xAC00
_LAST_SYLLABLE = 0xD7A3
_MEDIALS = 21
_FINALS = 28
_FIRST_INITIAL = 0x1100
_LAST_INITIAL = 0x1112
_PER_INITIAL = _MEDIALS * _FINALS

# Final consonants U+11A8 to U+11C2 as the initials of the same keys: a keyboard turns ㄱㅅ into ㄳ,
# which looks the same. Unicode maps ㅄ and ㅀ to initial clusters of old Korean.
_FINALS_AS_INITIALS = (
    "ᄀ,ᄁ,ᄀᄉ,ᄂ,ᄂᄌ,ᄂᄒ,ᄃ,ᄅ,ᄅᄀ,ᄅᄆ,ᄅᄇ,ᄅᄉ,ᄅᄐ,ᄅᄑ,ᄅᄒ,"
    "ᄆ,ᄇ,ᄇᄉ,ᄉ,ᄊ,ᄋ,ᄌ,ᄎ,ᄏ,ᄐ,ᄑ,ᄒ"
)
_LONE_CONSONANTS = {
    0x11A8 + index: keys for index, keys in enumerate(_FINALS_AS_INITIALS.split(","))
}
_LONE_CONSONANTS |= {0x1121: "ᄇᄉ", 0x111A: "ᄅᄒ"}

# Keys of a Latin keyboard (QWERTY) for each part of a syllable on the Korean one (Dubeolsik, KS X
# 5002), in Unicode order.
_INITIALS_TYPED = "r,R,s,e,E,f,a,q,Q,t,T,d,w,W,c,z,x,v,g"
_MEDIALS_TYPED = "k,o,i,O,j,p,u,P,h,hk,ho,hl,y,n,nj,np,nl,b,m,ml,l"
_FINALS_TYPED = ",r,R,rt,s,sw,sg,e,f,fr,fa,fq,ft,fx,fv,fg,a,q,qt,t,T,d,w,c,z,x,v,g"
_INITIAL_KEYS, _MEDIAL_KEYS, _FINAL_KEYS = (
    _INITIALS_TYPED.split(","),
    _MEDIALS_TYPED.split(","),
    _FINALS_TYPED.split(","),
)


def _alternatives(keys: Iterable[str]) -> str:
    """Return a pattern that prefers the longest keys."""
    return "|".join(sorted(filter(None, keys), key=len, reverse=True))


# A final consonant belongs to the next syllable if a vowel follows.
_TYPED_SYLLABLE = re.compile(
    f"({_alternatives(_INITIAL_KEYS)})({_alternatives(_MEDIAL_KEYS)})"
    f"((?:{_alternatives(_FINAL_KEYS)})(?![{''.join(sorted(set(''.join(_MEDIAL_KEYS))))}]))?"
    f"|({_alternatives(_INITIAL_KEYS)})"
)
_UNSHIFTED = str.maketrans({key: key.lower() for key in "ABCDFGHIJKLMNSUVXYZ"})


def hangul_of_keys(keys: str) -> str:
    """Return what Latin keys type on the Korean keyboard: dkssud is 안녕.

    Capitals type tense consonants. Consonants outside a syllable become conjoining initials; other
    text is unchanged.
    """
    return _TYPED_SYLLABLE.sub(_typed_syllable, keys.translate(_UNSHIFTED))


def _typed_syllable(found: re.Match[str]) -> str:
    initial, medial, final, alone = found.groups()
    if alone:
        return chr(_FIRST_INITIAL + _INITIAL_KEYS.index(alone))
    medials = _INITIAL_KEYS.index(initial) * _MEDIALS + _MEDIAL_KEYS.index(medial)
    return chr(_FIRST_SYLLABLE + medials * _FINALS + _FINAL_KEYS.index(final or ""))


def latin_keys(text: str) -> str:
    """Return the Latin keys that type whole syllables: 안녕 is dkssud. Other text is unchanged."""
    return "".join(_typed_keys(character) for character in text)


def _typed_keys(character: str) -> str:
    offset = ord(character) - _FIRST_SYLLABLE
    if not 0 <= offset <= _LAST_SYLLABLE - _FIRST_SYLLABLE:
        return character
    initial, rest = divmod(offset, _PER_INITIAL)
    medial, final = divmod(rest, _FINALS)
    return _INITIAL_KEYS[initial] + _MEDIAL_KEYS[medial] + _FINAL_KEYS[final]


def normalize_hangul(text: str) -> str:
    """Return the canonical form for comparisons: composed, without case, width, spaces and
    invisible characters.

    Consonants outside a syllable, compatibility or conjoining, become conjoining initials.
    """
    # Case folding may decompose, so compose again afterwards.
    visible = unicodedata.normalize("NFKC", drop_invisible(text))
    composed = unicodedata.normalize("NFKC", visible.casefold())
    return "".join(composed.split()).translate(_LONE_CONSONANTS)


def search_pattern(query: str) -> re.Pattern[str]:
    """Return a pattern that finds a query in normalized text.

    An initial consonant matches every syllable that begins with it. A last syllable without a final
    consonant also matches those with one: 삼서 may become 삼성. Any other character matches itself.
    The pattern needs no backtracking, so no query can make it slow.
    """
    normalized = normalize_hangul(query)
    last = len(normalized) - 1
    return re.compile(
        "".join(
            _character_class(character, last=index == last)
            for index, character in enumerate(normalized)
        )
    )


def _character_class(character: str, *, last: bool) -> str:
    code = ord(character)
    if _FIRST_INITIAL <= code <= _LAST_INITIAL:
        first = _FIRST_SYLLABLE + (code - _FIRST_INITIAL) * _PER_INITIAL
        return f"[{character}{chr(first)}-{chr(first + _PER_INITIAL - 1)}]"
    if (
        last
        and _FIRST_SYLLABLE <= code <= _LAST_SYLLABLE
        and (code - _FIRST_SYLLABLE) % _FINALS == 0
    ):
        return f"[{character}-{chr(code + _FINALS - 1)}]"
    return re.escape(character)
