"""Hypothesis strategies for frames and for splits of a byte stream."""

from itertools import pairwise

from hypothesis import strategies as st

from relayer.stomp.frames import UNESCAPED, WITH_BODY, Frame, StompCommand
from relayer.stomp.versions import Version

# Characters that a version cannot write in a header name; in a value 1.0 can write the colon.
_UNWRITABLE = {Version.V1_0: "\r\n:", Version.V1_1: "\r", Version.V1_2: ""}


def _text(unwritable: str, min_size: int = 0) -> st.SearchStrategy[str]:
    """Any encodable text without NUL and unwritable characters; special characters are likely."""
    awkward = st.sampled_from(
        [character for character in ":\\\r\n,;= abcDE한" if character not in unwritable]
    )
    any_other = st.characters(exclude_characters="\0" + unwritable, exclude_categories=["Cs"])
    return st.text(awkward | any_other, min_size=min_size, max_size=20)


def _headers(version: Version) -> st.SearchStrategy[tuple[tuple[str, str], ...]]:
    unwritable = _UNWRITABLE[version]
    names = _text(unwritable, min_size=1).filter(lambda name: name != "content-length")
    return st.lists(st.tuples(names, _text(unwritable.replace(":", ""))), max_size=6).map(tuple)


@st.composite
def frames(draw: st.DrawFn, version: Version = Version.V1_2) -> Frame:
    """Any frame that the version can write, with ``content-length`` if it has a body."""
    command = draw(st.sampled_from(list(StompCommand)))
    headers = draw(_headers(Version.V1_0 if command in UNESCAPED else version))
    body = draw(st.binary(max_size=40)) if command in WITH_BODY else b""
    if body:
        headers = (*headers, ("content-length", str(len(body))))
    return Frame(command, headers, body)


@st.composite
def cuts(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    """The stream in pieces, split anywhere."""
    places = draw(st.lists(st.integers(0, len(stream)), max_size=12))
    return [stream[start:end] for start, end in pairwise([0, *sorted(places), len(stream)])]


# Bytes similar enough to STOMP to get deep into the parser.
almost_stomp = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"MESSAGE\n",
                b"CONNECTED\r\n",
                b"\n",
                b"\r\n",
                b"\0",
                b"a:b\n",
                b"content-length:3\n",
                b"\\c",
                b"\\t",
                b"\\r",
                b"\r",
            ]
        ),
        st.binary(max_size=6),
    ),
    max_size=20,
).map(b"".join)
