"""Korean text as people type it into a search box: whole syllables, initial consonants alone (``ㅅㅅㅈㅈ``), or both mixed (``삼ㅅ``).

A syllable's code follows from its parts by arithmetic: S = 0xAC00 + (initial x 21 + medial) x 28 + final (The Unicode Standard, section 3.12,
"Conjoining Jamo Behavior"). So the syllables of one initial consonant lie side by side, and so do those of one initial and medial.
"""

import re
import unicodedata

_FIRST_SYLLABLE = 0xAC00
_LAST_SYLLABLE = 0xD7A3
_MEDIALS = 21
_FINALS = 28
_FIRST_INITIAL = 0x1100
_LAST_INITIAL = 0x1112
_PER_INITIAL = _MEDIALS * _FINALS

# Finals as the initials of the same keys, U+11A8 to U+11C2: whoever types ㄱㅅ is given ㄳ by his keyboard, and it looks the same. Of ㅄ and ㅀ
# Unicode makes the clusters that old Korean began syllables with.
_FINALS_AS_INITIALS = "ᄀ,ᄁ,ᄀᄉ,ᄂ,ᄂᄌ,ᄂᄒ,ᄃ,ᄅ,ᄅᄀ,ᄅᄆ,ᄅᄇ,ᄅᄉ,ᄅᄐ,ᄅᄑ,ᄅᄒ,ᄆ,ᄇ,ᄇᄉ,ᄉ,ᄊ,ᄋ,ᄌ,ᄎ,ᄏ,ᄐ,ᄑ,ᄒ"
_LONE_CONSONANTS = {
    0x11A8 + place: keys for place, keys in enumerate(_FINALS_AS_INITIALS.split(","))
}
_LONE_CONSONANTS |= {0x1121: "ᄇᄉ", 0x111A: "ᄅᄒ"}

# The keys of a Latin keyboard (QWERTY) that write each part of a syllable on the Korean one (Dubeolsik, KS X 5002), in the order of Unicode.
_INITIALS_TYPED = "r,R,s,e,E,f,a,q,Q,t,T,d,w,W,c,z,x,v,g"
_MEDIALS_TYPED = "k,o,i,O,j,p,u,P,h,hk,ho,hl,y,n,nj,np,nl,b,m,ml,l"
_FINALS_TYPED = ",r,R,rt,s,sw,sg,e,f,fr,fa,fq,ft,fx,fv,fg,a,q,qt,t,T,d,w,c,z,x,v,g"
_INITIAL_KEYS, _MEDIAL_KEYS, _FINAL_KEYS = (
    _INITIALS_TYPED.split(","),
    _MEDIALS_TYPED.split(","),
    _FINALS_TYPED.split(","),
)


def latin_keys(text: str) -> str:
    """What appears when whole syllables are typed with the keyboard left in Latin letters: 안녕 is dkssud. All else stays as it is."""
    return "".join(_keys_of(character) for character in text)


def _keys_of(character: str) -> str:
    place = ord(character) - _FIRST_SYLLABLE
    if not 0 <= place <= _LAST_SYLLABLE - _FIRST_SYLLABLE:
        return character
    initial, rest = divmod(place, _PER_INITIAL)
    medial, final = divmod(rest, _FINALS)
    return _INITIAL_KEYS[initial] + _MEDIAL_KEYS[medial] + _FINAL_KEYS[final]


def normalize_hangul(text: str) -> str:
    """The text in the one form in which texts are compared: composed, without case, width and spaces.

    Consonants of either block (compatibility and conjoining) that belong to no syllable are initials of the conjoining block then.
    """
    # Folding the case may decompose, so composing comes last too.
    composed = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(composed.split()).translate(_LONE_CONSONANTS)


def search_pattern(query: str) -> re.Pattern[str]:
    """What finds a query in a text that is ``folded``.

    An initial consonant finds every syllable that begins with it, and a last syllable without a final also those that it may become: 삼서 is on its
    way to 삼성. Any other character finds itself. There is nothing to go back on in such a pattern, so that it can't be made slow.
    """
    wanted = normalize_hangul(query)
    last = len(wanted) - 1
    return re.compile(
        "".join(_class_of(character, last=place == last) for place, character in enumerate(wanted))
    )


def _class_of(character: str, *, last: bool) -> str:
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
