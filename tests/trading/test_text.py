"""Free text: what is kept, what is dropped, what is refused."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.text import RefusedCharacter, clean_text

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
HEART = "\u2764\ufe0f\u200d\U0001f525"
SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
PIECES = st.sampled_from(
    [
        *("\u200b", "\u200d", "\ufe0f", "\ufe0e", "\ufeff", "\u2060", "\u3164", "\u202e", "\u0301"),
        *("e", "1", "\u20e3", "\u1100", "\u1161", "\u3000", "\u00a0", "\n", "\t", "\r", " "),
        *(FAMILY, HEART, SCOTLAND, "\U0001f3f4", "\U000e0067", "\U000e007f", "\u8fbb\U000e0100"),
        *("\U0001f44d\U0001f3fd", "\U0001f1f0\U0001f1f7", "\u2329", "\u2764"),
    ]
)
TEXTS = st.lists(PIECES | st.characters(exclude_categories=("Cc", "Cs")), max_size=12).map("".join)


@pytest.mark.parametrize(
    "text",
    [
        *(FAMILY, HEART, SCOTLAND, "\U0001f44d\U0001f3fd", "\U0001f1f0\U0001f1f7", "1\ufe0f\u20e3"),
        "\U0001f3f3\ufe0f\u200d\U0001f308",
        "\U0001f469\U0001f3fd\u200d\U0001f4bb 메모",
        "반도체\u3000장비",
        "10\u00a0000원",
        "\u8fbb\U000e0100",
        "실적\n\n- 배당\t3%\n",
        "=1+1",
    ],
)
def test_meaningful_text_is_kept(text: str) -> None:
    assert clean_text(text, multiline=True) == text.strip()


@pytest.mark.parametrize(
    "invisible",
    list("\u200b\u200c\u200d\u200e\u202e\u2060\u2066\ufeff\u3164\ufe0f\U000e0067\u00ad"),
)
def test_invisible_characters_are_dropped(invisible: str) -> None:
    for multiline in (True, False):
        assert clean_text(f"{invisible}삼{invisible}성 {invisible}", multiline=multiline) == "삼성"
        assert clean_text(f" {invisible}\u3000", multiline=multiline) == ""


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("e\u200d\u0301", "é"),
        (unicodedata.normalize("NFD", "반도체"), "반도체"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("\U0001f468\u200d", "\U0001f468"),
        ("\U0001f468\u200d\u200d\U0001f469", "\U0001f468\U0001f469"),
        ("\t\n 이름\u3000\n", "이름"),
    ],
)
def test_text_gets_its_canonical_form(text: str, cleaned: str) -> None:
    assert clean_text(text, multiline=True) == cleaned


@pytest.mark.parametrize(
    ("text", "position", "character"),
    [
        ("a\x00b", 2, "\x00"), ("\x1b[31m", 1, "\x1b"), ("abc\x1f", 4, "\x1f"), ("\x85", 1, "\x85"),
        ("half \ud800", 6, "\ud800"), ("\x7f", 1, "\x7f"), ("a\x0bb", 2, "\x0b"),
    ],
)  # fmt: skip
def test_control_characters_are_refused_by_position(
    text: str, position: int, character: str
) -> None:
    for multiline in (True, False):
        with pytest.raises(RefusedCharacter) as refused:
            clean_text(text, multiline=multiline)
        assert (refused.value.position, refused.value.character) == (position, character)


@pytest.mark.parametrize("character", ["\n", "\t", "\r", "\u2028"])
def test_break_inside_one_line_is_refused(character: str) -> None:
    with pytest.raises(RefusedCharacter, match="Character 2 "):
        clean_text(f"a{character}b", multiline=False)
    assert clean_text(f"ab{character}", multiline=False) == "ab"


@given(TEXTS)
def test_cleaning_is_idempotent_and_loses_nothing_visible(text: str) -> None:
    cleaned = clean_text(text, multiline=True)

    assert clean_text(cleaned, multiline=True) == cleaned
    assert cleaned == unicodedata.normalize("NFC", cleaned) == cleaned.strip()
    assert visible(cleaned) == visible(text)
    cleaned.encode()


@given(st.text(st.characters() | st.characters(categories=["Cs", "Cc"]), max_size=8))
def test_only_control_characters_and_lone_surrogates_are_refused(text: str) -> None:
    refused = any(unicodedata.category(one) in ("Cc", "Cs") and one not in "\t\n\r" for one in text)
    if refused:
        with pytest.raises(RefusedCharacter):
            clean_text(text, multiline=True)
    else:
        clean_text(text, multiline=True).encode()


def visible(text: str) -> str:
    """Return the letters, marks of accents, digits, signs and symbols in normal form D."""
    return "".join(
        character
        for character in unicodedata.normalize("NFD", text)
        if unicodedata.category(character)[0] in "LNPS"
        and character not in "\u115f\u1160\u3164\uffa0"
    )
