"""Hypothesis strategies for frames and for the ways in which a stream of bytes may be cut."""

from itertools import pairwise

from hypothesis import strategies as st

from relayer.stomp.frames import UNESCAPED, WITH_BODY, Command, Frame

# Text of headers: everything that Unicode can encode except NUL, with the awkward characters made likely.
_characters = st.one_of(
    st.sampled_from(":\\\r\n,;= abcDE한"), st.characters(exclude_characters="\0", exclude_categories=["Cs"])
)
_plain_characters = st.one_of(
    st.sampled_from(",;= abcDE한\\"), st.characters(exclude_characters="\0\r\n:", exclude_categories=["Cs"])
)


def _headers(*, plain: bool) -> st.SearchStrategy[tuple[tuple[str, str], ...]]:
    characters = _plain_characters if plain else _characters
    names = st.text(characters, min_size=1, max_size=12).filter(lambda name: name != "content-length")
    values = st.text(characters | st.just(":") if plain else characters, max_size=20)
    return st.lists(st.tuples(names, values), max_size=6).map(tuple)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    """Any frame that may exist, as it stands on the wire: a body has its ``content-length``."""
    command = draw(st.sampled_from(list(Command)))
    headers = draw(_headers(plain=command in UNESCAPED))
    body = draw(st.binary(max_size=40)) if command in WITH_BODY else b""
    if body:
        headers = (*headers, ("content-length", str(len(body))))
    return Frame(command, headers, body)


@st.composite
def cuts(draw: st.DrawFn, stream: bytes) -> list[bytes]:
    """The stream in pieces, cut anywhere."""
    places = draw(st.lists(st.integers(0, len(stream)), max_size=12))
    return [stream[start:end] for start, end in pairwise([0, *sorted(places), len(stream)])]


# Bytes that look enough like STOMP to get deep into the parser.
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
                b"\r",
            ]
        ),
        st.binary(max_size=6),
    ),
    max_size=20,
).map(b"".join)
