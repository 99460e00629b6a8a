"""Parsing of KRX listing files in their columns and encodings."""

from pathlib import Path

import pytest

from launcher.plan import ROOT
from trading.stocks.listing import ListedStock, MalformedListing, read_listing, seed_listing

REAL_FILE = ROOT.parent / "shared" / "data" / "krx_2026-03-20.csv"
ENGLISH = (
    ",Code,ISU_CD,Name,Market,Dept,Close,Stocks\n"
    "0,005930,KR7005930003,삼성전자,KOSPI,,199400,5919637922\n"
)
KOREAN = (
    "표준코드,단축코드,한글 종목명,한글 종목약명,영문 종목명,상장일,시장구분,"
    "증권구분,소속부,주식종류,액면가,상장주식수\n"
    "KR7005930003,005930,삼성전자보통주,삼성전자,SamsungElectronics,1975/06/11,KOSPI,"
    '주권,,보통주,100,"5,919,637,922"\n'
)
QUOTES = (
    "종목코드,종목명,시장구분,소속부,종가,상장주식수\n"
    '005930,삼성전자,코스피,,"199,400","5,919,637,922"\n'
)


def read(folder: Path, content: str | bytes) -> list[ListedStock]:
    file = folder / "listing.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_listing(file)


def test_english_columns_are_parsed(tmp_path: Path) -> None:
    """With an unnamed first column."""
    assert read(tmp_path, ENGLISH) == [
        ListedStock(
            code="A005930",
            isin="KR7005930003",
            name="삼성전자",
            english_name=None,
            market="KOSPI",
            kind="STOCK",
            sector=None,
            listed_shares=5_919_637_922,
            reference_price=199_400,
        )
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
@pytest.mark.parametrize("content", [KOREAN, QUOTES], ids=["issues", "quotes"])
def test_korean_headers_are_parsed_in_all_encodings(
    tmp_path: Path, content: str, encoding: str
) -> None:
    """Both files of KRX, in UTF-8 with and without BOM and in CP949."""
    (stock,) = read(tmp_path, content.encode(encoding))
    assert (stock.code, stock.name, stock.market, stock.listed_shares) == (
        "A005930",
        "삼성전자",
        "KOSPI",
        5_919_637_922,
    )


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_all_line_endings_are_accepted(tmp_path: Path, ending: str) -> None:
    assert read(tmp_path, ENGLISH.replace("\n", ending))[0].code == "A005930"


def test_market_segments_codes_kinds_and_zeros(tmp_path: Path) -> None:
    """ "KOSDAQ GLOBAL" is KOSDAQ, codes may contain letters, and zero means unknown."""
    rows = (
        "Code,Name,Market,Kind,Close,Stocks\n"
        "247540,에코프로비엠,KOSDAQ GLOBAL,,0,\n"
        "0126z0,어떤 ETF,유가증권,etf,1,1\n"
    )
    first, second = read(tmp_path, rows)
    assert (first.market, first.kind, first.reference_price, first.listed_shares) == (
        "KOSDAQ",
        "STOCK",
        None,
        None,
    )
    assert (second.code, second.market, second.kind) == ("A0126Z0", "KOSPI", "ETF")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "line 1"),
        ("Name,Market\nx,KOSPI\n", "line 1: no column for code"),
        ("Code,Market\n005930,KOSPI\n", "no column for name"),
        ("Code,Name\n005930,x\n", "no column for market"),
        ("Code,Name,Market\n005930,x,KOSPI\n5930,y,KOSPI\n", "line 3: code"),
        ("Code,Name,Market\n005930,,KOSPI\n", "line 2: name"),
        (f"Code,Name,Market\n005930,{'x' * 101},KOSPI\n", "line 2: name"),
        ("Code,Name,Market\n005930,x,NASDAQ\n", "line 2: market"),
        ("Code,Name,Market\n005930,x\n", "line 2: market"),
        ("Code,Name,Market,Close\n005930,x,KOSPI,12.5\n", "line 2: close"),
        ("Code,Name,Market,Close\n005930,x,KOSPI,-1\n", "line 2: close"),
        ("Code,Name,Market,Stocks\n005930,x,KOSPI,9999999999999999\n", "line 2: shares"),
        ("Code,Name,Market,ISU_CD\n005930,x,KOSPI,KR70059300031\n", "line 2: isin"),
        ("Code,Name,Market,ISU_CD\n005930,x,KOSPI,삼성\n", "line 2: isin"),
        (f"Code,Name,Market,EnglishName\n005930,x,KOSPI,{'x' * 201}\n", "line 2: english_name"),
        (f"Code,Name,Market,Sector\n005930,x,KOSPI,{'x' * 51}\n", "line 2: sector"),
        ("Code,Name,Market\n005930,x,KOSPI\n005930,y,KOSPI\n", "line 3: A005930 is listed twice"),
        ("Code,Name,Market\n005930,x,KOSPI\nA005930,y,KOSPI\n", "listed twice"),
        (f'Code,Name,Market\n005930,"{"x" * 200_000}",KOSPI\n', "line 2"),
        (b"\x00\xff\xfe\xff", "neither UTF-8 nor CP949"),
    ],
    ids=range(20),
)
def test_invalid_row_is_reported_with_its_line(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    with pytest.raises(MalformedListing, match=message):
        read(tmp_path, content)


def test_row_longer_than_the_header_is_accepted(tmp_path: Path) -> None:
    assert read(tmp_path, "Code,Name,Market\n005930,x,KOSPI,extra,more\n")[0].name == "x"


def test_seed_listing_is_valid() -> None:
    seed = seed_listing()
    assert 35 <= len(seed) == len({stock.code for stock in seed})
    assert {stock.market for stock in seed} >= {"KOSPI", "KOSDAQ"}
    assert all(
        stock.reference_price and (stock.listed_shares or stock.kind != "STOCK") for stock in seed
    )


@pytest.mark.skipif(
    not REAL_FILE.exists(), reason="The exchange's real listing is not on this machine."
)
def test_real_krx_listing_is_parsed() -> None:
    """Every row of one trading day."""
    stocks = {stock.code: stock for stock in read_listing(REAL_FILE)}
    assert len(stocks) > 2_500
    assert {stock.market for stock in stocks.values()} == {"KOSPI", "KOSDAQ", "KONEX"}
    assert (stocks["A005930"].name, stocks["A005930"].reference_price) == ("삼성전자", 199_400)
