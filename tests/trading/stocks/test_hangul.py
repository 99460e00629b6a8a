"""Korean search patterns match in every Unicode form of a query."""

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trading.stocks.hangul import hangul_of_keys, latin_keys, normalize_hangul, search_pattern

# Keyboard keys in the order of the initials, as compatibility jamo, which input methods produce.
KEYS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
SYLLABLES = st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)
NAMES = st.text(SYLLABLES | st.sampled_from("AKz09&.·[^"), min_size=1, max_size=20)


def initial(character: str) -> str:
    """Return the first key of a character, by Unicode decomposition instead of arithmetic."""
    first = unicodedata.normalize("NFD", character)[0]
    return KEYS[ord(first) - 0x1100] if "\u1100" <= first <= "\u1112" else character


def matches(query: str, text: str) -> bool:
    return search_pattern(query).search(normalize_hangul(text)) is not None


@given(NAMES, st.data())
def test_any_part_of_a_name_matches_with_syllables_or_initials(
    name: str, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(name) - 1))
    part = name[start : data.draw(st.integers(start + 1, len(name)))]
    typed = "".join(data.draw(st.sampled_from((one, initial(one)))) for one in part)

    assert matches(typed, name)


@given(SYLLABLES, SYLLABLES)
def test_initial_matches_only_its_own_syllables(one: str, other: str) -> None:
    assert matches(initial(one), other) == (initial(one) == initial(other))


@given(SYLLABLES, SYLLABLES, SYLLABLES)
def test_incomplete_last_syllable_matches_its_completions(
    first: str, typed: str, whole: str
) -> None:
    """Only the last one: the input method has completed the others."""
    key, parts = (unicodedata.normalize("NFD", one) for one in (typed, whole))

    assert matches(first + typed, first + whole) == (
        parts == key or (len(key) == 2 and parts[:2] == key)
    )
    assert matches(typed + first, whole + first) == (typed == whole)


@given(st.text(SYLLABLES | st.sampled_from(KEYS), min_size=1, max_size=10), NAMES)
def test_unicode_form_makes_no_difference(query: str, name: str) -> None:
    """Composed, decomposed as in macOS file names, or with conjoining initials."""
    forms = {unicodedata.normalize(form, query) for form in ("NFC", "NFD", "NFKC", "NFKD")}
    # Decomposed, a lone consonant may join the following characters; such queries are excluded.
    assume(len({normalize_hangul(form) for form in forms}) == 1)

    assert len({matches(form, name) for form in forms}) == 1


@given(st.text(SYLLABLES, min_size=1, max_size=10))
def test_decomposed_word_is_normalized(word: str) -> None:
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
def test_typical_queries_match(query: str, name: str) -> None:
    assert matches(query, name)


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
def test_unrelated_queries_do_not_match(query: str, name: str) -> None:
    """Other keys, lone vowels, and characters special in regular expressions."""
    assert not matches(query, name)


@given(st.text(max_size=50), st.text(max_size=50))
def test_any_text_is_a_valid_query(query: str, text: str) -> None:
    """A text matches itself."""
    assert isinstance(matches(query, text), bool)
    assert matches(text, text)


@given(st.text(SYLLABLES, max_size=10))
def test_keys_of_syllables_type_them_again(text: str) -> None:
    assert hangul_of_keys(latin_keys(text)) == text
