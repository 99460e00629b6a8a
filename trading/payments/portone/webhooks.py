"""Verify PortOne's webhooks by the Standard Webhooks signature over the raw body.

A webhook only causes a check at PortOne. Its statement about the payment's state is not read, so a
forged one changes nothing.
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
# Two may be active while one replaces the other.
SECRETS_MAX = 2
_SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of every secret
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
    """A webhook that PortOne did not send; ``fault`` says why and repeats no content."""

    def __init__(self, fault: WebhookFault) -> None:
        super().__init__(fault)
        self.fault = fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """A verified webhook; ``type`` is an open enum, the ids are set when it is about a payment."""

    id: str
    type: str
    payment_id: str | None = None
    store_id: str | None = None


class WebhookVerifier:
    """Verify webhooks with one or two secrets."""

    def __init__(self, secrets: Sequence[str]) -> None:
        """Accept secrets as PortOne's console shows them: base64, ``whsec_`` and padding optional.

        Raises ValueError for anything else.
        """
        if not 1 <= len(secrets) <= SECRETS_MAX:
            raise ValueError("One or two webhook secrets are needed.")
        self._keys = tuple(map(_key, secrets))

    def verify(self, body: bytes, headers: Mapping[str, str], *, now: datetime) -> Webhook:
        """Return the webhook in ``body``, the raw octets.

        Raises InvalidWebhook if the signature, the timestamp or the body is not valid.
        """
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
        if not self._has_valid_signature(_octets(f"{identifier}.{timestamp}.") + body, signatures):
            raise InvalidWebhook(WebhookFault.SIGNATURE_WRONG)
        return _read(identifier, body)

    def _has_valid_signature(self, content: bytes, signatures: str) -> bool:
        """Return True if any signature was made with any of the keys."""
        expected = [
            base64.b64encode(hmac.digest(key, content, hashlib.sha256)) for key in self._keys
        ]
        candidates = [
            _octets(token.removeprefix(_SCHEME))
            for token in signatures.split(" ")
            if token.startswith(_SCHEME)
        ]
        return any(
            hmac.compare_digest(signature, candidate)
            for signature in expected
            for candidate in candidates
        )


def _octets(text: str) -> bytes:
    # A header may contain non-ASCII characters; it must fail to match, not raise.
    return text.encode("ascii", "backslashreplace")


def _key(secret: str) -> bytes:
    text = secret.removeprefix(_SECRET_PREFIX).rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not key:
        raise ValueError("A webhook secret is base64, with or without whsec_.")
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
