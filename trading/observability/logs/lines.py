"""Rendering of an event as one line: escaped, of bounded length and without secrets."""

import json
import re
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr
from structlog.typing import EventDict

from trading.config.settings import Settings

TEXT_LENGTH_MAX = 2_000
HIDDEN = "***"

# Unicode categories Cc, Cf, Cs, Zl and Zp: line ends, terminal controls, direction marks, invisible
# characters, and surrogates, which UTF-8 cannot encode.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001"
    "\U000e0020-\U000e007f]"
)

# Shorter values would mask ordinary words; production rejects such secrets.
_SECRET_LENGTH_MIN = 8
# Secrets outside the settings: tokens, hashes, and passwords in URLs. Each pattern has a substring
# that every match contains, because searching for that is cheap.
_PATTERNS = (
    # Servers echo a header that they cannot parse.
    (
        "uthorization",
        re.compile(
            r"(?<=uthorization)[\"'\\]{0,4}\s*[:=]\s*[\"'\\]{0,4}[^\s\"',\\]+(?:\s+[^\s\"',\\]+)?"
        ),
    ),
    ("eyJ", re.compile(r"(?<![\w-])eyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*)?")),
    ("$argon2", re.compile(r"\$argon2\w*\$[^\s\"']+")),
    ("whsec_", re.compile(r"whsec_[\w+/=-]+")),
    ("://", re.compile(r"(?<=://)[^/\s@:\"']*:[^/\s@\"']*@")),
)
_SHORT = frozenset({int, float, bool, type(None)})
_HIDDEN_IN_ADDRESS = f"{HIDDEN}@"


def visible(text: str) -> str:
    """Escape every character that could break or forge a line, as in a Python literal."""
    return _UNSAFE.sub(lambda found: repr(found[0])[1:-1], text)


def visible_in_json(line: str) -> str:
    """Escape the same characters in a line of JSON, whose C0 controls are escaped already."""
    if line.isascii() and "\x7f" not in line:
        return line
    return _UNSAFE.sub(lambda found: json.dumps(found[0])[1:-1], line)


def bounded(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Cut long texts of an event; most come from outside."""
    for key, value in event.items():
        # Nearly all values are short texts or numbers.
        kind = type(value)
        if kind not in _SHORT and (kind is not str or len(value) > TEXT_LENGTH_MAX):
            event[key] = _cut(value)
    return event


def _cut(value: object) -> object:
    if isinstance(value, str):
        length = len(value)
        return (
            value
            if length <= TEXT_LENGTH_MAX
            else f"{value[:TEXT_LENGTH_MAX]}… ({length:,} characters)"
        )
    if isinstance(value, list | tuple):
        return [_cut(one) for one in value]
    if isinstance(value, dict):
        return {name: _cut(one) for name, one in value.items()}
    return value


class Mask:
    """Replace secrets in a line: those of the settings by value, others by pattern.

    The product does not log secrets itself; messages of libraries and servers may contain them.
    """

    def __init__(self, settings: Settings) -> None:
        self._secrets = tuple(sorted(set(_secrets(settings)), key=len, reverse=True))

    def __call__(self, line: str) -> str:
        for secret in self._secrets:
            if secret in line:
                line = line.replace(secret, HIDDEN)
        for sign, pattern in _PATTERNS:
            if sign in line:
                line = pattern.sub(_HIDDEN_IN_ADDRESS if sign == "://" else HIDDEN, line)
        return line


def _secrets(settings: Settings) -> Iterator[str]:
    """Return every secret as it may appear in a line: raw and JSON-escaped."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            for secret in _parts(value.get_secret_value()):
                if len(secret) >= _SECRET_LENGTH_MIN:
                    yield secret
                    yield json.dumps(secret, ensure_ascii=False)[1:-1]


def _parts(secret: str) -> Iterator[str]:
    """Return the secrets of a setting: a URL's password, list items, or the whole value."""
    if "://" not in secret:
        words = [word.strip() for word in secret.split(",")]
        yield from (*words, *(word.removeprefix("whsec_") for word in words))
        return
    password = urlsplit(secret).password
    if password:
        yield from (password, unquote(password))
