"""Tests of the password policy: length and guessability count, kinds of characters do not."""

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
ACCEPTED = [
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
    "password123",
    "P@ssw0rd!!",
    "1234567890",
    "0000000000",
    "qwertyuiop",
    "1q2w3e4r5t",
    "asdfghjkl1",
    "iloveyou12",
    "01012345678",
    "qlalfqjsgh",
    "qlalfqjsgh12",
    "dkssudgktpdy",
    "dkssud1234",
    "tkfkdgo1004",
    "비밀번호123456",
    "사랑해사랑해사랑해요",
    "대한민국1234567",
    "sarang1004",
    "a" * 100,
    "abc" * 30,
    "drowssap123",
    "letmein!!!!",
    "ｐａｓｓｗｏｒｄ１２３",
]
ACCOUNT_DERIVED = [
    EMAIL,
    EMAIL.upper(),
    "gildong.hong",
    "Gildong.Hong1",
    "gildonghong!",
    "hong gildong",
    "gnoh.gnodlig",
    "g1ld0ng.h0ng",
    "navy-blue.kr1",
    "홍길동_홍길동_홍길동",
    "ghdrlfehd!ghdrlfehd",
    "stocking.gildong",
    "stocking-2026",
]


def fault(password: str, *, length_min: int = 10) -> PasswordFault | None:
    return password_fault(password, length_min=length_min, email=EMAIL, name=NAME)


@pytest.mark.parametrize("password", ACCEPTED)
def test_hard_to_guess_password_of_any_characters_is_accepted(password: str) -> None:
    assert fault(password) is None


@pytest.mark.parametrize("password", COMMON)
def test_common_password_is_refused(password: str) -> None:
    """Covers leaked passwords, keyboard patterns of both scripts, sequences and repetitions."""
    assert fault(password) is PasswordFault.TOO_COMMON


@pytest.mark.parametrize("password", ACCOUNT_DERIVED)
def test_password_derived_from_the_account_is_refused(password: str) -> None:
    """Covers the address, its parts, the user's and service's names, and simple derivations."""
    assert fault(password) in (PasswordFault.RESEMBLES_ACCOUNT, PasswordFault.TOO_COMMON)
    assert (
        fault(password) is PasswordFault.RESEMBLES_ACCOUNT
        or "stocking" in password
        or "홍" in password
    )


def test_name_is_allowed_in_a_password_that_is_strong_without_it() -> None:
    """A password that resembles another account is accepted."""
    assert fault("gildong correct horse battery") is None
    assert (
        password_fault("gildong.hong", length_min=10, email="other@example.com", name="김영수")
        is None
    )


def test_length_limits_count_normalized_characters_and_octets() -> None:
    syllables = "".join(chr(0xAC00 + 37 * number) for number in range(LENGTH_MAX + 1))
    assert fault(syllables[:9]) is PasswordFault.TOO_SHORT
    assert fault(syllables[:10]) is None
    assert fault(syllables[:11], length_min=12) is PasswordFault.TOO_SHORT
    assert fault(syllables[:LENGTH_MAX]) is None
    assert fault(syllables) is PasswordFault.TOO_LONG
    assert fault("\ufdfa" * 8) is PasswordFault.TOO_LONG, (
        "one character that normalizes to eighteen"
    )
    pictures = "".join(chr(0x1F400 + number * 37 % 251) for number in range(LENGTH_MAX))
    assert len(pictures.encode()) == OCTETS_MAX
    assert fault(pictures) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
@settings(max_examples=examples(150))
def test_equivalent_unicode_forms_get_the_same_result(text: str) -> None:
    """Normalization is idempotent."""
    found = fault(text)
    assert found is None or found in set(PasswordFault)
    if (
        len(text) <= LENGTH_MAX
        and len(decomposed := unicodedata.normalize("NFKD", text)) <= LENGTH_MAX
    ):
        assert fault(decomposed) == found
    assert normalized(normalized(text)) == normalized(text)


def test_check_takes_less_than_half_a_second_for_hostile_passwords() -> None:
    """Symbols that can each replace several letters slow down zxcvbn; misordered accents slow down
    Unicode normalization.
    """
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
        started = time.thread_time()
        fault(password)
        slowest = max(slowest, time.thread_time() - started)
    assert slowest < 0.5


def test_concurrent_checks_use_the_words_of_their_own_account() -> None:
    """zxcvbn keeps the words in one place for the whole process."""

    names = ["vqxwkzjf", "bhdmgpyt", "wzkfjqvx", "tpgymhdb"]

    def only_own_name_is_refused(name: str) -> bool:
        return all(
            (
                password_fault(f"{other}!!", length_min=8, email=f"{name}@example.com", name=name)
                is None
            )
            is (other != name)
            for other in names * 40
        )

    default_interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        assert all(
            run_together(*[lambda name=name: only_own_name_is_refused(name) for name in names])
        )
    finally:
        sys.setswitchinterval(default_interval_s)


def test_hangul_is_converted_to_the_latin_keys_that_type_it() -> None:
    """Covers double consonants (shift) and clusters (two keys) on the standard Korean keyboard."""
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
