"""Password policy: a minimum length and resistance to guessing; no rules on kinds of characters.

zxcvbn estimates the guesses from leaked passwords, words, names, keyboards, dates and sequences;
common Korean choices are added here. Its time grows fast with the length, so it sees a long
password in short pieces; one piece must be hard to guess.
"""

import threading
import unicodedata
from collections.abc import Iterable, Sequence
from enum import StrEnum

from zxcvbn import zxcvbn

from trading.accounts.passwords import LENGTH_MAX, OCTETS_MAX, normalized
from trading.stocks.hangul import latin_keys

# Withstands guessing by requests (zxcvbn's score 2). Argon2id protects a stolen table.
GUESSES_MIN = 10**6

_PIECE_LENGTH = 12
_WORD_LENGTH_MIN = 3
_SERVICE = ("stocking", "스톡킹", "모의투자")

# Common beginnings of Korean passwords, also as keys of a Latin keyboard (비밀번호 is qlalfqjsgh).
_KOREAN = """
비밀번호 비번 암호 아이디 로그인 회원가입 관리자 운영자 테스트 시험 시작 사랑
사랑해 사랑해요 사랑합니다 안녕 안녕하세요 반가워 고마워 감사합니다 미안해 보고싶어
행복 행복해 희망 소망 믿음 축복 은혜 하나님 예수님 부처님 바보 멍청이 천재 천사
악마 미인 공주 왕자 대박 최고 화이팅 파이팅 아자아자 대한민국 우리나라 한국
코리아 서울 부산 대구 인천 광주 대전 울산 제주 제주도 독도 엄마 아빠 부모님
가족 우리집 우리가족 아들 우리딸 여보 자기야 오빠 언니 누나 동생 친구 학교
선생님 학생 회사 사무실 집에가고싶다 배고파 졸려 심심해 몰라 모르겠다 아무거나
진짜 정말 강아지 고양이 멍멍이 야옹이 토끼 호랑이 거북이 무지개 하늘 바다 햇살
별빛 달님 봄날 여름 가을 겨울 장미 해바라기 꽃님이 부자 로또 주식 투자 증권
은행 통장 삼성 삼성전자 하이닉스 현대 기아 카카오 네이버 롯데 포스코 축구 야구
농구 게임 컴퓨터 인터넷 핸드폰 커피 라면 김치 치킨 피자 맥주 소주 떡볶이 홍길동
이순신 세종대왕 김철수 김영희 이영희 김민수 김지훈 하나둘셋 하나둘셋넷 일이삼사
가나다 가나다라 가나다라마바사 아야어여 동해물과 백두산
"""
_ROMANISED = (
    "sarang saranghae saranghaeyo babo annyeong hanguk daehanminguk naver daum kakao"
    " 1004 8282 7942 486486"
)
_COMMON = (*_KOREAN.split(), *latin_keys(_KOREAN).split(), *_ROMANISED.split())

# The library keeps its word lists in one global for all threads.
_turn = threading.Lock()


class PasswordFault(StrEnum):
    """Why a password is not allowed."""

    TOO_SHORT = "too-short"
    TOO_LONG = "too-long"
    TOO_COMMON = "too-common"
    RESEMBLES_ACCOUNT = "resembles-account"


def password_fault(
    password: str, *, length_min: int, email: str, name: str
) -> PasswordFault | None:
    """Return why a password is not allowed for this account, or None. The password must be valid
    UTF-8.
    """
    normal = normalized(password)
    if len(normal) < length_min:
        return PasswordFault.TOO_SHORT
    if max(len(password), len(normal)) > LENGTH_MAX or len(normal.encode()) > OCTETS_MAX:
        return PasswordFault.TOO_LONG
    if not _is_hard_to_guess(normal, _COMMON):
        return PasswordFault.TOO_COMMON
    return PasswordFault.RESEMBLES_ACCOUNT if _resembles(normal, _words_of(email, name)) else None


def _resembles(password: str, words: Sequence[str]) -> bool:
    """Return True if the password is easy to guess for someone who knows ``words``.

    Either the rest without the words is easy to guess, or the whole is if the words count as common
    ones. Words also match reversed or with digits for letters.
    """
    whole = _folded(password)
    rest = _without(whole, words)
    return (rest != whole and not _is_hard_to_guess(rest, _COMMON)) or not _is_hard_to_guess(
        password, (*words, *_COMMON)
    )


def _is_hard_to_guess(text: str, words: Sequence[str]) -> bool:
    pieces = (text[start : start + _PIECE_LENGTH] for start in range(0, len(text), _PIECE_LENGTH))
    return any(_guesses(piece, words) >= GUESSES_MIN for piece in pieces)


def _guesses(piece: str, words: Sequence[str]) -> int:
    with _turn:
        return int(zxcvbn(piece, user_inputs=words)["guesses"])


def _words_of(email: str, name: str) -> list[str]:
    """Return the words that somebody who knows the account would try, longest first."""
    address = _folded(email)
    local, _, domain = address.partition("@")
    named = [name, *name.split()]
    words = {address, local, domain, *_split(local), *_split(domain), *_SERVICE}
    words |= {_folded(form) for each in named for form in (each, latin_keys(each))}
    return sorted((word for word in words if _is_word(word)), key=len, reverse=True)


def _is_word(text: str) -> bool:
    # A name of two syllables takes four to six keys.
    return len(text) >= _WORD_LENGTH_MIN or (len(text) > 1 and not text.isascii())


def _split(text: str) -> Iterable[str]:
    return "".join(each if each.isalnum() else " " for each in text).split()


def _without(text: str, words: Iterable[str]) -> str:
    for word in words:
        text = text.replace(word, "")
    return text


def _folded(text: str) -> str:
    """Return the text without case, width and spaces."""
    return "".join(
        unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split()
    )
