"""Parsing of KRX listing files in their columns and encodings."""

from datetime import date
from pathlib import Path

import pytest

from launcher.plan import ROOT
from trading.stocks.listing import (
    ListedStock,
    MalformedListing,
    parse_leverage,
    read_listing,
    seed_listing,
)

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


FUNDS = (
    "표준코드,단축코드,한글종목명,한글종목약명,상장일,추적배수,시장구분,증권구분,상장좌수\n"
    'KR7122630007,122630,KODEX 레버리지,레버리지,2010/02/22,"2X 레버리지 (2)",KOSPI,ETF,"1,000"\n'
    "KR7252670005,252670,KODEX 인버스2X,KODEX 인버스2X,2016-09-22,2X 인버스 (-2),KOSPI,ETF,1\n"
    "KR7069500007,069500,KODEX 200,KODEX 200,2002.10.14,일반 (1),KOSPI,ETF,1\n"
)


def test_leverage_and_listing_date_of_funds_are_parsed(tmp_path: Path) -> None:
    """As in KRX's listing of funds."""
    found = [
        (stock.code, stock.leverage_percent, stock.listed_on, stock.in_liquidation)
        for stock in read(tmp_path, FUNDS)
    ]
    assert found == [
        ("A122630", 200, date(2010, 2, 22), None),
        ("A252670", -200, date(2016, 9, 22), None),
        ("A069500", 100, date(2002, 10, 14), None),
    ]


@pytest.mark.parametrize(
    ("text", "percent"),
    [
        ("2", 200),
        ("-2", -200),
        ("+1.5", 150),
        ("0.5", 50),
        ("2X", 200),
        ("3.00", 300),
        ("1X 인버스 (-1)", -100),
        (" 2 ", 200),
    ],
)
def test_leverage_is_a_multiple_in_percent(text: str, percent: int) -> None:
    assert parse_leverage(text) == percent


@pytest.mark.parametrize(
    "text", ["", "0", "0.00", "4", "-3.5", "two", "(2", "1e3", "\N{FULLWIDTH DIGIT TWO}", "2.125"]
)
def test_invalid_leverage_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="multiple"):
        parse_leverage(text)


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("Leverage", "9", "line 2: leverage is not a multiple of at most 3"),
        ("ListingDate", "2026-13-01", "line 2: listed_on is not a date"),
        ("상장일", "어제", "line 2: listed_on is not a date"),
        ("Liquidation", "maybe", "line 2: in_liquidation is not Y or N"),
    ],
)
def test_invalid_master_data_name_line_and_column(
    tmp_path: Path, column: str, value: str, fault: str
) -> None:
    with pytest.raises(MalformedListing, match=fault):
        read(tmp_path, f"Code,Name,Market,{column}\n005930,삼성전자,KOSPI,{value}\n")


@pytest.mark.parametrize(("value", "expected"), [("Y", True), ("n", False), ("", None)])
def test_liquidation_is_yes_no_or_unstated(
    tmp_path: Path, value: str, expected: bool | None
) -> None:
    (stock,) = read(tmp_path, f"Code,Name,Market,정리매매\n005930,삼성전자,KOSPI,{value}\n")
    assert stock.in_liquidation is expected
