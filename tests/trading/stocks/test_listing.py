"""The stock list: KRX's files in their columns and encodings, and what is refused."""

from pathlib import Path

import pytest

from launcher.plan import ROOT
from trading.stocks.listing import ListedStock, MalformedListing, read_listing, seed_listing

REAL_FILE = ROOT.parent / "shared" / "data" / "krx_2026-03-20.csv"
ENGLISH = ",Code,ISU_CD,Name,Market,Dept,Close,Stocks\n0,005930,KR7005930003,삼성전자,KOSPI,,199400,5919637922\n"
KOREAN = (
    "표준코드,단축코드,한글 종목명,한글 종목약명,영문 종목명,상장일,시장구분,증권구분,소속부,주식종류,액면가,상장주식수\n"
    'KR7005930003,005930,삼성전자보통주,삼성전자,SamsungElectronics,1975/06/11,KOSPI,주권,,보통주,100,"5,919,637,922"\n'
)
QUOTES = '종목코드,종목명,시장구분,소속부,종가,상장주식수\n005930,삼성전자,코스피,,"199,400","5,919,637,922"\n'


def read(folder: Path, content: str | bytes) -> list[ListedStock]:
    file = folder / "listing.csv"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_listing(file)


def test_the_english_columns(tmp_path: Path) -> None:
    """The columns of the common English exports, an unnamed first one included."""
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
def test_korean_headers_in_every_encoding(tmp_path: Path, content: str, encoding: str) -> None:
    """KRX's own two files, in UTF-8 with and without its mark and in CP949; the short name is preferred."""
    (stock,) = read(tmp_path, content.encode(encoding))
    assert (stock.code, stock.name, stock.market, stock.listed_shares) == (
        "A005930",
        "삼성전자",
        "KOSPI",
        5_919_637_922,
    )


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_other_line_endings_are_read(tmp_path: Path, ending: str) -> None:
    """Windows' line ends and a lone carriage return are line ends."""
    assert read(tmp_path, ENGLISH.replace("\n", ending))[0].code == "A005930"


def test_a_segment_of_a_market_is_that_market(tmp_path: Path) -> None:
    """ "KOSDAQ GLOBAL" is KOSDAQ; letters in a code are kept; an ETF is known by its kind; zeros are no figure."""
    rows = "Code,Name,Market,Kind,Close,Stocks\n247540,에코프로비엠,KOSDAQ GLOBAL,,0,\n0126z0,어떤 ETF,유가증권,etf,1,1\n"
    first, second = read(tmp_path, rows)
    assert (first.market, first.kind, first.reference_price, first.listed_shares) == (
        "KOSDAQ",
        "STOCK",
        None,
        None,
    )
    assert (second.code, second.market, second.kind) == ("A0126Z0", "KOSPI", "ETF")


@pytest.mark.parametrize(
    ("content", "says"),
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
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, content: str | bytes, says: str) -> None:
    """Whatever does not fit is refused before anything is written, with the line and the column."""
    with pytest.raises(MalformedListing, match=says):
        read(tmp_path, content)


def test_a_row_longer_than_the_header_is_read(tmp_path: Path) -> None:
    """Columns without a name are passed over."""
    assert read(tmp_path, "Code,Name,Market\n005930,x,KOSPI,extra,more\n")[0].name == "x"


def test_the_seed_is_a_sound_list() -> None:
    """Some forty issues, each once, all with a price, and all but funds with a number of shares; two markets."""
    seed = seed_listing()
    assert 35 <= len(seed) == len({stock.code for stock in seed})
    assert {stock.market for stock in seed} >= {"KOSPI", "KOSDAQ"}
    assert all(
        stock.reference_price and (stock.listed_shares or stock.kind != "STOCK") for stock in seed
    )


@pytest.mark.skipif(
    not REAL_FILE.exists(), reason="The exchange's real listing is not on this machine."
)
def test_the_exchanges_real_listing_is_read() -> None:
    """Every row of a real trading day: thousands of stocks, all three markets, Samsung at its close."""
    stocks = {stock.code: stock for stock in read_listing(REAL_FILE)}
    assert len(stocks) > 2_500
    assert {stock.market for stock in stocks.values()} == {"KOSPI", "KOSDAQ", "KONEX"}
    assert (stocks["A005930"].name, stocks["A005930"].reference_price) == ("삼성전자", 199_400)
