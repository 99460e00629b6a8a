"""Index closes from a file: parsed completely, or rejected with all faults."""

from datetime import date
from pathlib import Path

import pytest

from launcher.plan import ROOT
from trading.stocks.indices.listing import MalformedIndexFile, read_index_closes

REAL_FILE = ROOT.parent / "shared" / "data" / "kospi_index_2026.csv"


def file_of(folder: Path, content: str | bytes) -> Path:
    path = folder / "index.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def faults(folder: Path, content: str | bytes) -> list[str]:
    with pytest.raises(MalformedIndexFile) as raised:
        read_index_closes(file_of(folder, content))
    return str(raised.value).splitlines()


@pytest.mark.parametrize(
    ("points", "hundredths"),
    [
        ("4309.63", 430_963),
        ("4309", 430_900),
        (" 4,309.6 ", 430_960),
        ("0.005", 1),
        ("4309.625", 430_963),
        ("4309.6249999999", 430_962),
    ],
)
def test_points_are_converted_to_hundredths(tmp_path: Path, points: str, hundredths: int) -> None:
    """Rounded half up."""
    path = file_of(tmp_path, f'Date,Close\n2026-01-02,"{points}"\n')
    assert read_index_closes(path) == {date(2026, 1, 2): hundredths}


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    """In any order, with other columns and a byte order mark."""
    content = "\ufeffOpen,Close,Date\r\n1,100.5,2026-01-05\r\n2,99.25,2026-01-02\r\n"

    assert read_index_closes(file_of(tmp_path, content)) == {
        date(2026, 1, 5): 10_050,
        date(2026, 1, 2): 9_925,
    }


def test_all_faults_are_reported_with_their_lines(tmp_path: Path) -> None:
    content = (
        "Date,Close\n2026-01-02,100\n2026-13-01,100\n2026-01-05,0\n2026-01-06,nan\n"
        "2026-01-07\n2026-01-02,101\n2026-01-08,1e9\n"
    )

    found = faults(tmp_path, content)

    assert [line.split(":")[0] for line in found] == [
        "line 3",
        "line 4",
        "line 5",
        "line 6",
        "line 7",
        "line 8",
    ]
    assert found[0] == "line 3: Date is not a day of the form YYYY-MM-DD since 1980-01-04"
    assert found[4] == "line 7: 2026-01-02 is listed twice"


@pytest.mark.parametrize(
    "row",
    [
        "1979-12-31,100",
        "2101-01-01,100",
        "20260102,100",
        "2026-01-02,-1",
        "2026-01-02,Infinity",
        "2026-01-02,0.001",
        "2026-01-02,12345678",
        "٢٠٢٦-٠١-٠٢,100",
        "2026-01-02,\x00",
        ",",
    ],
)
def test_invalid_row_is_rejected(tmp_path: Path, row: str) -> None:
    assert faults(tmp_path, f"Date,Close\n{row}\n")[0].startswith("line 2: ")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "line 1: no column Date and no column Close"),
        ("Date,Points\n2026-01-02,1\n", "line 1: no column Close"),
        ("Date,Close\n", "line 2: the file has no rows"),
        ("날짜,Close\n".encode("cp949"), "the file is not UTF-8 text"),
        (b"\xff\xfe\x00", "the file is not UTF-8 text"),
        (
            f'Date,Close\n2026-01-02,"{"9" * 200_000}"\n',
            "line 2: field larger than field limit (131072)",
        ),
    ],
)
def test_invalid_file_is_rejected(tmp_path: Path, content: str | bytes, fault: str) -> None:
    assert faults(tmp_path, content) == [fault]


@pytest.mark.skipif(
    not REAL_FILE.exists(), reason="the exchange's files are not part of the product"
)
def test_real_index_file_is_parsed() -> None:
    closes = read_index_closes(REAL_FILE)

    assert (len(closes), min(closes), max(closes)) == (52, date(2026, 1, 2), date(2026, 3, 20))
    assert (closes[date(2026, 1, 2)], closes[date(2026, 3, 20)]) == (430_963, 578_120)
