"""STOMP versions and their header escapes."""

import re
from enum import StrEnum

from relayer.stomp.errors import MalformedFrame


class Version(StrEnum):
    """Version as named in CONNECTED.

    The client requests 1.2 alone, but some servers answer with an older version and use it.
    """

    V1_0 = "1.0"
    V1_1 = "1.1"
    V1_2 = "1.2"


_ESCAPES_1_1 = {"\\": "\\\\", "\n": "\\n", ":": "\\c"}
_ESCAPES = {
    Version.V1_0: {},
    Version.V1_1: _ESCAPES_1_1,
    Version.V1_2: {**_ESCAPES_1_1, "\r": "\\r"},
}
_UNESCAPES = {
    version: {escape: plain for plain, escape in escapes.items()}
    for version, escapes in _ESCAPES.items()
}
_NEEDS_ESCAPE = re.compile(r"[\\\r\n:]")
_ESCAPE = re.compile(r"\\.?", re.DOTALL)


def refuse_unwritable(name: str, value: str, version: Version) -> None:
    """Raise MalformedFrame for a header that the version cannot write.

    The version has no escape for a CR, LF or colon in it.
    """
    if version is Version.V1_2:
        return
    unwritable = "\r" in name or "\r" in value
    if version is Version.V1_0:
        # The first colon separates name and value, so a value may contain more.
        unwritable = unwritable or ":" in name or "\n" in name or "\n" in value
    if unwritable:
        raise MalformedFrame("a header needs an escape that the version lacks")


def escape(text: str, version: Version) -> str:
    """Return a header name or value escaped for ``version``; call ``refuse_unwritable`` first."""
    escapes = _ESCAPES[version]
    return (
        _NEEDS_ESCAPE.sub(lambda found: escapes.get(found[0], found[0]), text) if escapes else text
    )


def unescape(text: str, version: Version) -> str:
    """Return a header name or value without escapes.

    Raises MalformedFrame for an escape that the version does not define.
    """
    unescapes = _UNESCAPES[version]
    return _ESCAPE.sub(lambda found: _plain(found[0], unescapes), text) if unescapes else text


def _plain(found: str, unescapes: dict[str, str]) -> str:
    plain = unescapes.get(found)
    if plain is None:
        raise MalformedFrame("a header has an undefined escape")
    return plain
