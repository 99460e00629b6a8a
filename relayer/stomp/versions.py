"""The versions of STOMP and what tells them apart on the wire: the octets that a header can carry, and by which escapes."""

import re
from enum import StrEnum

from relayer.stomp.errors import MalformedFrame


class Version(StrEnum):
    """As CONNECTED names it. We ask for 1.2 alone, but servers are known that answer with an older one and mean it."""

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
    """MalformedFrame for a header that the version can't write, having no escape for a CR, a LF or a colon in it."""
    if version is Version.V1_2:
        return
    unwritable = "\r" in name or "\r" in value
    if version is Version.V1_0:
        # The first colon divides name and value, so a value may hold more of them.
        unwritable = unwritable or ":" in name or "\n" in name or "\n" in value
    if unwritable:
        raise MalformedFrame("a header needs an escape that it can't have")


def escape(text: str, version: Version) -> str:
    """A header's name or value as the version writes it, with ``refuse_unwritable`` asked before."""
    escapes = _ESCAPES[version]
    return (
        _NEEDS_ESCAPE.sub(lambda found: escapes.get(found[0], found[0]), text) if escapes else text
    )


def unescape(text: str, version: Version) -> str:
    """A header's name or value as its sender meant it. MalformedFrame for an escape that the version does not define."""
    unescapes = _UNESCAPES[version]
    return _ESCAPE.sub(lambda found: _plain(found[0], unescapes), text) if unescapes else text


def _plain(found: str, unescapes: dict[str, str]) -> str:
    plain = unescapes.get(found)
    if plain is None:
        raise MalformedFrame("a header has an undefined escape")
    return plain
