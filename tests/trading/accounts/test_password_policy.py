"""Which passwords may be chosen: by their length and by how soon they are guessed, and never by their kinds of characters."""

import random
import sys
import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.properties import examples
from tests.trading.threads import run_together
from trading.accounts.password_policy import PasswordFault, password_fault
from trading.accounts.passwords import LENGTH_MAX, OCTETS_MAX, normalized
from trading.stocks.hangul import latin_keys

EMAIL, NAME = "gildong.hong@navy-blue.kr", "홍길동"
GOOD = [
    "correct horse battery",
    "correct horse",
    "kX9#2mQp7z",
    "소나기가 지나간 오후",
    "thrnlrk wlskrks dhgn",
    "🦊🌧️🛶🍋🪁🧭🥁🪵🧶🎏",
    "a long one of your own",
    "\t tabs \x00 and others",
]
COMMON = [
    "password123", "P@ssw0rd!!", "1234567890", "0000000000", "qwertyuiop", "1q2w3e4r5t", "asdfghjkl1", "iloveyou12", "01012345678",
    "qlalfqjsgh", "qlalfqjsgh12", "dkssudgktpdy", "dkssud1234", "tkfkdgo1004", "비밀번호123456", "사랑해사랑해사랑해요", "대한민국1234567", "sarang1004",
    "a" * 100, "abc" * 30, "drowssap123", "letmein!!!!", "ｐａｓｓｗｏｒｄ１２３",
]  # fmt: skip
OF_THE_ACCOUNT = [
    EMAIL, EMAIL.upper(), "gildong.hong", "Gildong.Hong1", "gildonghong!", "hong gildong", "gnoh.gnodlig", "g1ld0ng.h0ng", "navy-blue.kr1",
    "홍길동_홍길동_홍길동", "ghdrlfehd!ghdrlfehd", "stocking.gildong", "stocking-2026",
]  # fmt: skip


def fault(password: str, *, length_min: int = 10) -> PasswordFault | None:
    return password_fault(password, length_min=length_min, email=EMAIL, name=NAME)


@pytest.mark.parametrize("password", GOOD)
def test_a_password_may_be_of_anything(password: str) -> None:
    """Words, symbols, Hangul, pictures, control characters: what counts is that nobody guesses it."""
    assert fault(password) is None


@pytest.mark.parametrize("password", COMMON)
def test_what_is_guessed_first_is_refused(password: str) -> None:
    """From leaks, keyboards of both scripts, sequences and repetitions, in any width, however long."""
    assert fault(password) is PasswordFault.TOO_COMMON


@pytest.mark.parametrize("password", OF_THE_ACCOUNT)
def test_what_is_known_of_the_account_is_no_secret(password: str) -> None:
    """The address, its parts, the name, the service, and simple derivations of them; for somebody else each of these may be one."""
    assert fault(password) in (PasswordFault.RESEMBLES_ACCOUNT, PasswordFault.TOO_COMMON)
    assert (
        fault(password) is PasswordFault.RESEMBLES_ACCOUNT
        or "stocking" in password
        or "홍" in password
    )


def test_the_name_may_stand_in_a_password_that_is_good_without_it() -> None:
    """Only what is left has to be hard to guess."""
    assert fault("gildong correct horse battery") is None
    assert (
        password_fault("gildong.hong", length_min=10, email="other@example.com", name="김영수")
        is None
    )


def test_bounds_are_of_characters_and_of_octets() -> None:
    """As normalised, and never cut: one character too many is refused."""
    good = "".join(chr(0xAC00 + 37 * number) for number in range(LENGTH_MAX + 1))
    assert fault(good[:9]) is PasswordFault.TOO_SHORT
    assert fault(good[:10]) is None
    assert fault(good[:11], length_min=12) is PasswordFault.TOO_SHORT
    assert fault(good[:LENGTH_MAX]) is None
    assert fault(good) is PasswordFault.TOO_LONG
    assert fault("\ufdfa" * 8) is PasswordFault.TOO_LONG, (
        "one character that normalises to eighteen"
    )
    pictures = "".join(chr(0x1F400 + number * 37 % 251) for number in range(LENGTH_MAX))
    assert len(pictures.encode()) == OCTETS_MAX
    assert fault(pictures) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
@settings(max_examples=examples(150))
def test_any_text_is_judged_as_its_normal_form_is(text: str) -> None:
    """However a keyboard composes the same characters, the answer is the same; and normalising twice is normalising once."""
    found = fault(text)
    assert found is None or found in set(PasswordFault)
    if (
        len(text) <= LENGTH_MAX
        and len(decomposed := unicodedata.normalize("NFKD", text)) <= LENGTH_MAX
    ):
        assert fault(decomposed) == found
    assert normalized(normalized(text)) == normalized(text)


def test_no_password_takes_long_to_judge() -> None:
    """Symbols that may each stand for several letters, and accents in the wrong order, cost zxcvbn and Unicode their time; they are bounded."""
    random.seed(7)
    symbols = "4@8({[<369!1|70$5+%2"
    hostile = ["".join(random.choices(symbols, k=LENGTH_MAX)) for _ in range(20)]
    hostile += [("".join(random.sample(symbols, 12)) * 11)[:LENGTH_MAX] for _ in range(20)]
    hostile += [
        "p@55w0rdp@55" * 10,
        "1234567890" * 12,
        "a" * LENGTH_MAX,
        "a" + "\u0315\u0300" * 30_000,
        "\ufdfa" * LENGTH_MAX,
    ]
    slowest = 0.0
    for password in hostile:
        began = time.thread_time()
        fault(password)
        slowest = max(slowest, time.thread_time() - began)
    assert slowest < 0.5


def test_accounts_do_not_mix_up_their_words() -> None:
    """Threads that judge at the same time each go by their own account: the library has one place for all."""

    names = ["vqxwkzjf", "bhdmgpyt", "wzkfjqvx", "tpgymhdb"]

    def judged(name: str) -> bool:
        return all(
            (
                password_fault(f"{other}!!", length_min=8, email=f"{name}@example.com", name=name)
                is None
            )
            is (other != name)
            for other in names * 40
        )

    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        assert all(run_together(*[lambda name=name: judged(name) for name in names]))
    finally:
        sys.setswitchinterval(usual_s)


def test_korean_is_known_as_it_is_typed_on_latin_keys() -> None:
    """By the standard keyboard, with double consonants on shift, and clusters by their two keys."""
    typed = {
        "안녕하세요": "dkssudgktpdy",
        "비밀번호": "qlalfqjsgh",
        "닭": "ekfr",
        "쏘": "Th",
        "의왕": "dmldhkd",
        "a1 가": "a1 rk",
        "": "",
    }
    assert {text: latin_keys(text) for text in typed} == typed
