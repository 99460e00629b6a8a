"""Whether a webhook is PortOne's: the signature of Standard Webhooks over the body as it came.

A webhook is a hint to look, and no more: its sender's word on a payment's state is not read here, so that nobody can act on it.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

BODY_OCTETS_MAX = 64 * 1024
TOLERANCE_S = 300
# Two may be active while one takes the other's place.
SECRETS_MAX = 2
_SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret begins with
_SCHEME = "v1,"
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class WebhookFault(StrEnum):
    """Why a webhook was refused."""

    BODY_TOO_LARGE = "body-too-large"
    HEADER_MISSING = "header-missing"
    TIMESTAMP_MALFORMED = "timestamp-malformed"
    TIMESTAMP_TOO_FAR = "timestamp-too-far"
    SIGNATURE_WRONG = "signature-wrong"
    BODY_MALFORMED = "body-malformed"


class InvalidWebhook(Exception):
    """Not PortOne's, or nothing that it sends. ``fault`` says why and repeats nothing of it."""

    def __init__(self, fault: WebhookFault) -> None:
        super().__init__(fault)
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """What a webhook hints at: its ``type`` is an open enum, and the ids are there when it is about a payment."""

    id: str
    type: str
    payment_id: str | None = None
    store_id: str | None = None


class WebhookVerifier:
    """Checks webhooks against one or two secrets."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """Secrets as PortOne's console shows them: base64 with or without ``whsec_`` and padding. ValueError for any that is not."""
        if not 1 <= len(secrets) <= SECRETS_MAX:
            raise ValueError("One webhook secret is active, or two.")
        self._keys = tuple(map(_key, secrets))

    def verify(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> Webhook:
        """The webhook in ``body``, which is the octets as they came; InvalidWebhook for one that is not PortOne's or out of its time."""
        if len(body) > BODY_OCTETS_MAX:
            raise InvalidWebhook(WebhookFault.BODY_TOO_LARGE)
        by_name = {name.lower(): value for name, value in headers.items()}
        identifier, timestamp, signatures = (
            by_name.get(f"webhook-{part}", "") for part in ("id", "timestamp", "signature")
        )
        if not (identifier and timestamp and signatures):
            raise InvalidWebhook(WebhookFault.HEADER_MISSING)
        if not _TIMESTAMP.fullmatch(timestamp):
            raise InvalidWebhook(WebhookFault.TIMESTAMP_MALFORMED)
        if abs(int(now.timestamp()) - int(timestamp)) > TOLERANCE_S:
            raise InvalidWebhook(WebhookFault.TIMESTAMP_TOO_FAR)
        if not self._is_signed(_octets(f"{identifier}.{timestamp}.") + body, signatures):
            raise InvalidWebhook(WebhookFault.SIGNATURE_WRONG)
        return _read(identifier, body)

    def _is_signed(self, content: bytes, signatures: str) -> bool:
        """Whether any of the signatures is any of the keys'."""
        expected = [
            base64.b64encode(hmac.digest(key, content, hashlib.sha256)) for key in self._keys
        ]
        given = [
            _octets(token.removeprefix(_SCHEME))
            for token in signatures.split(" ")
            if token.startswith(_SCHEME)
        ]
        return any(hmac.compare_digest(one, other) for one in expected for other in given)


def _octets(text: str) -> bytes:
    # A header may hold what is no text; it must fail to match, not to be read.
    return text.encode("ascii", "backslashreplace")


def _key(secret: str) -> bytes:
    text = secret.removeprefix(_SECRET_PREFIX).rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError("A webhook secret is whsec_ and base64.")
    return key


def _read(identifier: str, body: bytes) -> Webhook:
    try:
        document = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        document = None
    kind = document.get("type") if isinstance(document, dict) else None
    if not isinstance(kind, str):
        raise InvalidWebhook(WebhookFault.BODY_MALFORMED)
    data = document.get("data")
    payment_id, store_id = (
        data.get(name) if isinstance(data, dict) else None for name in ("paymentId", "storeId")
    )
    return Webhook(
        id=identifier,
        type=kind,
        payment_id=payment_id if isinstance(payment_id, str) else None,
        store_id=store_id if isinstance(store_id, str) else None,
    )
