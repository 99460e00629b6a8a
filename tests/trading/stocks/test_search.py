"""Stock search: rank of matches, without duplicates."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.stocks.hangul import normalize_hangul
from trading.stocks.model import StockStatus
from trading.stocks.search import FoundStock, StockIndex


def stock(
    code: str,
    name: str,
    english: str | None = None,
    *,
    status: StockStatus = StockStatus.TRADABLE,
    value: int = 1,
) -> FoundStock:
    return FoundStock(
        code=code,
        name=name,
        english_name=english,
        market="KOSPI",
        kind="STOCK",
        status=status,
        market_value=value,
    )


SAMSUNG = stock("A005930", "삼성전자", "Samsung Electronics", value=1_000)
PREFERRED = stock("A005935", "삼성전자우", "Samsung Electronics Pref", value=100)
LIFE = stock("A032830", "삼성생명", "Samsung Life Insurance", value=50)
SDI = stock("A006400", "삼성SDI", "Samsung SDI", value=60)
DELISTED = stock("A999990", "삼성증발", None, status=StockStatus.DELISTED, value=10_000)
SK = stock("A034730", "SK", "SK Inc.", value=10)
HYNIX = stock("A000660", "SK하이닉스", "SK hynix", value=900)
HOLDING = stock("A000661", "한국SK", None, value=5_000)
LETTERS = stock("A0126Z0", "글자코드", None)
INDEX = StockIndex([DELISTED, HOLDING, LIFE, SDI, PREFERRED, SAMSUNG, HYNIX, SK, LETTERS])


def found(query: str, *, limit: int = 50) -> list[str]:
    return [stock.name for stock in INDEX.search(query, limit=limit)]


@pytest.mark.parametrize("query", ["005930", "A005930", "a005930", " 005930 ", "００５９３０"])
def test_full_code_finds_one_stock(query: str) -> None:
    assert found(query) == ["삼성전자"]


def test_code_with_letters_is_found() -> None:
    assert found("0126z0") == ["글자코드"]


def test_exact_name_ranks_before_prefix_and_substring() -> None:
    """Whatever the market value."""
    assert found("sk") == ["SK", "SK하이닉스", "한국SK"]


def test_equal_matches_rank_by_listing_and_market_value() -> None:
    assert found("삼성") == ["삼성전자", "삼성전자우", "삼성SDI", "삼성생명", "삼성증발"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("ㅅㅅㅈㅈ", ["삼성전자", "삼성전자우"]),
        ("ㅅㅅㅈ", ["삼성전자", "삼성전자우", "삼성증발"]),
        ("생명", ["삼성생명"]),
        ("HYNIX", ["SK하이닉스"]),
        ("insurance", ["삼성생명"]),
        ("0059", ["삼성전자", "삼성전자우"]),
        ("5930", ["삼성전자"]),
        ("%", []),
        ("_", []),
        (".*", []),
        ("\0", []),
        ("   ", []),
        ("삼" * 1_000, []),
    ],
)
def test_part_of_any_search_text_matches(query: str, names: list[str]) -> None:
    assert found(query) == names


@pytest.mark.parametrize(
    "query",
    [
        *("삼성전자(005930)", "005930 삼성전자", "A005930 삼성전자", "삼성전자 [A005930]"),
        *("삼성전자（００５９３０）", "KRX:005930", "005930.KS", "삼성\u200b전자\t005930"),
    ],
)
def test_code_beside_a_name_finds_its_stock(query: str) -> None:
    assert found(query) == ["삼성전자"]


def test_name_beside_an_unknown_code_is_found() -> None:
    assert found("삼성생명(999999)") == ["삼성생명"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        *(("tkatjdwjswk", "삼성전자"), ("TKATJDWJSWK", "삼성전자"), ("tkatjdtodaud", "삼성생명")),
        *(("ttww", "삼성전자"), ("rmfwkzhem", "글자코드"), ("gkdlslrtm", "SK하이닉스")),
        *(("ｔｋａｔｊｄｗｊｓｗｋ", "삼성전자"), ("tkatjd wjswk", "삼성전자")),
    ],
)
def test_latin_keystrokes_find_the_korean_name(query: str, name: str) -> None:
    assert found(query)[0] == name


def test_capital_keystrokes_are_tense_consonants() -> None:
    index = StockIndex([stock("A000001", "쌍용"), stock("A000002", "상용")])
    assert [one.name for one in index.search("Tkddyd", limit=5)] == ["쌍용"]
    assert [one.name for one in index.search("tkddyd", limit=5)] == ["상용"]


@pytest.mark.parametrize(
    "query", ["\ufeff삼성\u3000전자", "삼\u200b성\u00a0전자", "\u200dSAMSUNG electronics\u2060"]
)
def test_invisible_characters_and_any_spaces_are_ignored(query: str) -> None:
    assert found(query)[0] == "삼성전자"


def test_alias_ranks_as_a_name() -> None:
    naver = replace(stock("A035420", "NAVER"), aliases=("네이버",))
    other = stock("A000001", "네이버스", value=9)
    index = StockIndex([naver, other])
    assert [one.name for one in index.search("네이버", limit=5)] == ["NAVER", "네이버스"]
    assert [one.name for one in StockIndex([naver]).search("spdlqj", limit=5)] == ["NAVER"]


def test_results_are_limited() -> None:
    assert found("삼성", limit=2) == ["삼성전자", "삼성전자우"]


CODES = st.from_regex(r"A[0-9A-Z]{6}", fullmatch=True)
NAMES = st.text(st.sampled_from("가강각나남삼성전자SK1 "), min_size=1, max_size=6).filter(str.strip)
STOCKS = st.builds(
    stock,
    CODES,
    NAMES,
    st.none() | NAMES,
    status=st.sampled_from(StockStatus),
    value=st.integers(0, 9),
)


@given(
    st.lists(STOCKS, max_size=20, unique_by=lambda one: one.code),
    # Latin letters are also keystrokes, which count only where nothing else matches.
    st.text(st.sampled_from("가강나삼성ㄱㅅ10"), max_size=4),
)
def test_results_are_sorted_by_match_listing_value_and_name(
    stocks: list[FoundStock], query: str
) -> None:
    """Compared with a naive implementation."""
    normalized = normalize_hangul(query)

    def match(one: FoundStock) -> int:
        texts = [
            normalize_hangul(text)
            for text in (one.code, one.code[1:], one.name, one.english_name or "")
        ]
        if normalized in texts[:2]:
            return 0
        if normalized in texts:
            return 1
        return (
            2
            if any(
                StockIndex([stock_named(text)]).search(query, limit=1)
                for text in prefixes(texts, normalized)
            )
            else 3
        )

    def stock_named(text: str) -> FoundStock:
        return stock("A??????", text)

    def prefixes(texts: list[str], normalized: str) -> list[str]:
        return [text[: len(normalized)] for text in texts if text]

    results = StockIndex(stocks).search(query, limit=50)

    assert results == sorted(
        results,
        key=lambda one: (
            match(one),
            one.status is StockStatus.DELISTED,
            -one.market_value,
            one.name,
            one.code,
        ),
    )
    assert {one.code for one in results} == {
        one.code for one in stocks if StockIndex([one]).search(query, limit=1)
    }
