"""Korean queries find what they are typed for, in whatever form the letters come."""

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trading.stocks.hangul import normalize_hangul, search_pattern

# The keys of a keyboard in the order of the initials, as compatibility jamo, which is what an input method gives.
KEYS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
SYLLABLES = st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)
NAMES = st.text(SYLLABLES | st.sampled_from("AKz09&.·[^"), min_size=1, max_size=20)


def initial(character: str) -> str:
    """The first key of a character, by Unicode's own decomposition instead of arithmetic."""
    first = unicodedata.normalize("NFD", character)[0]
    return KEYS[ord(first) - 0x1100] if "\u1100" <= first <= "\u1112" else character


def finds(query: str, text: str) -> bool:
    return search_pattern(query).search(normalize_hangul(text)) is not None


@given(NAMES, st.data())
def test_a_name_is_found_by_any_part_of_it_with_any_syllables_as_initials(
    name: str, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(name) - 1))
    part = name[start : data.draw(st.integers(start + 1, len(name)))]
    typed = "".join(data.draw(st.sampled_from((one, initial(one)))) for one in part)

    assert finds(typed, name)


@given(SYLLABLES, SYLLABLES)
def test_an_initial_finds_its_own_syllables_and_no_others(one: str, other: str) -> None:
    assert finds(initial(one), other) == (initial(one) == initial(other))


@given(SYLLABLES, SYLLABLES, SYLLABLES)
def test_a_syllable_that_is_being_typed_finds_what_it_may_become(
    first: str, typed: str, whole: str
) -> None:
    """The last one only: behind another the input method has closed it."""
    key, parts = (unicodedata.normalize("NFD", one) for one in (typed, whole))

    assert finds(first + typed, first + whole) == (
        parts == key or (len(key) == 2 and parts[:2] == key)
    )
    assert finds(typed + first, whole + first) == (typed == whole)


@given(st.text(SYLLABLES | st.sampled_from(KEYS), min_size=1, max_size=10), NAMES)
def test_the_form_of_the_letters_makes_no_difference(query: str, name: str) -> None:
    """Composed, decomposed as macOS names files, or with the initials as conjoining jamo: the same answer."""
    forms = {unicodedata.normalize(form, query) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    # Decomposed, a lone consonant may become the beginning of a syllable with what follows it; here nothing of the kind does.
    assume(len({normalize_hangul(form) for form in forms}) == 1)

    assert len({finds(form, name) for form in forms}) == 1


@given(st.text(SYLLABLES, min_size=1, max_size=10))
def test_a_decomposed_word_is_the_same_word(word: str) -> None:
    assert normalize_hangul(unicodedata.normalize("NFD", word)) == normalize_hangul(word) == word


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("ㅅㅅㅈㅈ", "삼성전자"),
        ("삼ㅅ", "삼성전자"),
        ("ㅅ성", "삼성전자"),
        ("\u1109\u1109\u110c\u110c", "삼성전자"),
        ("\uffb5\uffb5", "삼성전자"),
        ("ㅅㅏㅁ", "사무"),
        ("삼서", "삼성전자"),
        ("ㄳ", "강스템바이오텍"),
        ("ㅄ", "부산"),
        ("ㅀ", "라한호텔"),
        ("kb금", "KB금융"),
        ("ＫＢ", "KB금융"),
        ("sk 하이", "SK하이닉스"),
        ("ｌｇ 전자", "LG전자"),
        ("k&", "K&S"),
    ],
)
def test_what_people_type(query: str, name: str) -> None:
    assert finds(query, name)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("ㅆ", "삼성"),
        ("삼서전", "삼성전자"),
        ("ㅏ", "삼성"),
        (".", "삼성"),
        ("[ㄱ-ㅎ]", "삼성"),
        ("ㅅㅈ", "삼성생명"),
    ],
)
def test_what_finds_nothing(query: str, name: str) -> None:
    """A doubled consonant is another key, a vowel alone begins nothing, and no character means more than itself."""
    assert not finds(query, name)


@given(st.text(max_size=50), st.text(max_size=50))
def test_any_text_is_a_query(query: str, text: str) -> None:
    """Nothing that is typed breaks the search, and a text is found by itself."""
    assert isinstance(finds(query, text), bool)
    assert finds(text, text)
