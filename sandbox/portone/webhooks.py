"""PortOne's webhooks: signed by Standard Webhooks, up to six attempts, in no guaranteed order."""

import asyncio
import base64
import hashlib
import hmac
import json
import random
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from sandbox.portone.clock import Clock
from sandbox.portone.documents import time
from sandbox.portone.faults import Tampering, WebhookDelivery, WebhookFaults
from sandbox.portone.merchant import LOOPBACK_HOSTS, WEBHOOK_SECRET
from sandbox.portone.payments import Event, PortoneRefusal

# Maximum wait before each attempt.
WAITS = tuple(timedelta(minutes=minutes) for minutes in (0, 1, 4, 16, 64, 256))
MANUAL_MAX = 10
ANSWER_OCTETS_MAX = 16 * 1024
TIMEOUT_S = 30
# Receivers allow 300 s. The margin keeps a delayed webhook from becoming valid.
TIMESTAMP_ERROR_S = 330
_OTHER_SECRET = "whsec_" + base64.b64encode(b"not the secret of this shop").decode()
_TIMES: dict[Tampering, Callable[[int], str]] = {
    Tampering.TIMESTAMP_EARLY: lambda seconds: str(seconds - TIMESTAMP_ERROR_S),
    Tampering.TIMESTAMP_LATE: lambda seconds: str(seconds + TIMESTAMP_ERROR_S),
    Tampering.TIMESTAMP_FRACTION: lambda seconds: f"{seconds}.0",
    Tampering.TIMESTAMP_TEXT: lambda _: "now",
}


@dataclass(slots=True, kw_only=True)
class Delivery:
    """One webhook for one address, with the same bytes at every attempt."""

    id: str
    type: str
    url: str
    body: bytes
    content_type: str = "application/json"
    payment_id: str | None = None
    payment_status: str | None = None
    trigger: str | None = None
    tampering: Tampering | None = None
    state: str = "PENDING"
    manual: int = 0
    attempts: list[dict[str, Any]] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Return the delivery for the control API.

        `state` is HELD, NEVER_SENT, NOT_ALLOWED, PENDING, or PortOne's status of the last attempt.
        """
        return {
            "id": self.id,
            "type": self.type,
            "url": self.url,
            "paymentId": self.payment_id,
            "state": self.state,
            "attempts": self.attempts,
        }

    def entry(self) -> dict[str, Any]:
        """Return the entry in a payment's `webhooks`."""
        members: dict[str, Any] = {
            "id": self.id,
            "url": self.url,
            "status": self.attempts[-1]["status"],
            "paymentStatus": self.payment_status,
            "isAsync": self.trigger is not None,
            "currentExecutionCount": len(self.attempts),
            "maxExecutionCount": len(WAITS),
            "request": self.attempts[-1]["request"],
            "triggeredAt": self.attempts[0]["request"]["requestedAt"],
        }
        trigger = "MANUAL" if self.manual else self.trigger
        if trigger is not None:
            members["trigger"] = trigger
        if "response" in self.attempts[-1]:
            members["response"] = self.attempts[-1]["response"]
        return members


class WebhookSender:
    """Sends events to `url` or to a payment's own addresses, if their host is in `hosts`.

    Deliveries are independent. `scale` multiplies PortOne's waits. `faults` may be replaced at any
    time.
    """

    def __init__(
        self,
        *,
        url: str | None,
        secrets: Sequence[str] = (WEBHOOK_SECRET,),
        hosts: Iterable[str] = LOOPBACK_HOSTS,
        scale: float,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self.faults = WebhookFaults()
        self.deliveries: dict[str, Delivery] = {}
        self._url = url
        self._secrets = tuple(secrets)
        self._hosts = frozenset(hosts)
        self._scale = scale
        self._clock = clock
        self._rng = rng
        self._tasks: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Cancel deliveries in progress."""
        await self.clear()
        if self._session is not None:
            await self._session.close()

    async def clear(self) -> None:
        """Cancel deliveries in progress and delete all."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.deliveries.clear()

    def announce(
        self, event: Event, *, identifier: str, mailing: WebhookDelivery | None = None
    ) -> None:
        """Send an event to the payment's own addresses, or to the shop's. `mailing` overrides the
        faults.
        """
        mailing = mailing or self.faults.mailing
        body = webhook_body(event.type, event.data, at=event.at)
        for number, url in enumerate(event.notice_urls or filter(None, (self._url,))):
            delivery = Delivery(
                id=identifier if number == 0 else f"{identifier}-{number}",
                type=event.type,
                url=url,
                body=body,
                payment_id=event.payment_id,
                payment_status=event.payment_status,
                trigger=event.trigger,
                tampering=self.faults.tampering,
            )
            self.dispatch(delivery, mailing)

    def dispatch(self, delivery: Delivery, mailing: WebhookDelivery = WebhookDelivery.AUTO) -> None:
        """Register a delivery, and start it unless it is held, never sent or its host is not
        allowed.
        """
        self.deliveries[delivery.id] = delivery
        if urlsplit(delivery.url).hostname not in self._hosts:
            delivery.state = "NOT_ALLOWED"
        elif mailing is WebhookDelivery.AUTO:
            self._begin(self._deliver(delivery))
        else:
            delivery.state = "HELD" if mailing is WebhookDelivery.HOLD else "NEVER_SENT"

    async def flush(self, order: Sequence[str] | None = None, times: int = 1) -> list[Delivery]:
        """Send held deliveries, or these ids in this order, each `times`, one after the other's
        answer.

        Retries continue by themselves.
        """
        held = [delivery for delivery in self.deliveries.values() if delivery.state == "HELD"]
        chosen = held if order is None else [self._found(identifier) for identifier in order]
        for delivery in chosen:
            for _ in range(times):
                await self.attempt(delivery)
            if delivery.state != "SUCCEEDED":
                self._begin(self._deliver(delivery))
        return chosen

    async def redeliver(self, identifier: str) -> Delivery:
        """Make one more attempt of a delivery and wait for its answer."""
        delivery = self._found(identifier)
        await self.attempt(delivery)
        return delivery

    async def resend(self, payment_id: str, identifier: str | None) -> dict[str, Any]:
        """Resend a payment's webhook, by default the newest, with the same id and bytes."""
        own = [
            delivery for delivery in self.deliveries.values() if delivery.payment_id == payment_id
        ]
        chosen = [delivery for delivery in own if identifier in (None, delivery.id)]
        if not chosen or chosen[-1].state == "NOT_ALLOWED":
            raise PortoneRefusal(404, "WEBHOOK_NOT_FOUND")
        if chosen[-1].manual >= MANUAL_MAX:
            raise PortoneRefusal(400, "MAX_WEBHOOK_RETRY_COUNT_REACHED")
        chosen[-1].manual += 1
        await self.attempt(chosen[-1])
        return chosen[-1].entry()

    def log(self, payment_id: str) -> list[dict[str, Any]]:
        """Return a payment's webhooks as in its JSON."""
        own = (
            delivery for delivery in self.deliveries.values() if delivery.payment_id == payment_id
        )
        return [delivery.entry() for delivery in own if delivery.attempts]

    async def attempt(self, delivery: Delivery) -> None:
        """Send a delivery once and record the result."""
        headers, body = self._signed(delivery)
        sent_at = self._clock.base()
        request = {
            "header": json.dumps(headers),
            "body": body.decode("utf-8", "replace"),
            "requestedAt": time(sent_at, fraction=True),
        }
        record: dict[str, Any] = {"status": "FAILED_UNEXPECTED_ERROR", "request": request}
        try:
            async with self._client().post(
                delivery.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                text = (await answer.content.read(ANSWER_OCTETS_MAX)).decode("utf-8", "replace")
                record["status"] = (
                    "SUCCEEDED" if 200 <= answer.status < 300 else "FAILED_NOT_OK_RESPONSE"
                )
                record["response"] = {
                    "code": str(answer.status),
                    "header": json.dumps(dict(answer.headers)),
                    "body": text,
                    "respondedAt": time(self._clock.base(), fraction=True),
                }
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            record["fault"] = type(fault).__name__
        delivery.attempts.append(record)
        delivery.state = record["status"]

    async def _deliver(self, delivery: Delivery) -> None:
        faults = self.faults
        copies = faults.copies
        while delivery.state != "SUCCEEDED" and len(delivery.attempts) < len(WAITS):
            wait = WAITS[len(delivery.attempts)]
            await self._clock.wait(wait * self._scale * self._rng.random())
            if len(delivery.attempts) < faults.lost:
                sent_at = time(self._clock.base(), fraction=True)
                request = {"body": delivery.body.decode("utf-8", "replace"), "requestedAt": sent_at}
                delivery.attempts.append(
                    {"status": "FAILED_UNEXPECTED_ERROR", "request": request, "fault": "lost"}
                )
                continue
            if faults.at_once:
                await asyncio.gather(*(self.attempt(delivery) for _ in range(copies)))
            else:
                for _ in range(copies):
                    await self.attempt(delivery)
            copies = 1

    def _signed(self, delivery: Delivery) -> tuple[dict[str, str], bytes]:
        """Return headers and body of an attempt. The time is real, as the receiver compares it with
        its own.
        """
        seconds = int(self._clock.base().timestamp())
        tampering, body = delivery.tampering, delivery.body
        timestamp = (
            _TIMES[tampering](seconds) if tampering and tampering in _TIMES else str(seconds)
        )
        signatures = signature(delivery.id, timestamp, body, self._secrets)
        match tampering:
            case Tampering.WRONG_SECRET:
                signatures = signature(delivery.id, timestamp, body, (_OTHER_SECRET,))
            case Tampering.ALTERED_BODY:
                body = body.replace(b"{", b"{ ", 1)
            case Tampering.OTHER_SCHEME:
                signatures = signatures.replace("v1,", "v1a,")
            case Tampering.GARBAGE_FIRST:
                signatures = f"v1,bm90IGEgc2lnbmF0dXJl garbage {signatures}"
            case Tampering.NOT_ASCII:
                signatures = "v1,서명"
        headers = {
            "webhook-id": delivery.id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signatures,
        }
        if tampering is not None and tampering.startswith("missing-"):
            del headers[f"webhook-{tampering.removeprefix('missing-')}"]
        if tampering is Tampering.TITLE_CASE:
            headers = {name.title(): value for name, value in headers.items()}
        return {"Content-Type": delivery.content_type, **headers}, body

    def _found(self, identifier: str) -> Delivery:
        if identifier not in self.deliveries:
            raise PortoneRefusal(404, "WEBHOOK_NOT_FOUND")
        return self.deliveries[identifier]

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(sock_connect=TIMEOUT_S, sock_read=TIMEOUT_S)
            self._session = aiohttp.ClientSession(
                timeout=timeout, connector=aiohttp.TCPConnector(force_close=True)
            )
        return self._session


def signature(identifier: str, timestamp: str, body: bytes, secrets: Sequence[str]) -> str:
    """Return the header `webhook-signature` with a signature per secret, newest first."""
    content = f"{identifier}.{timestamp}.".encode() + body
    keys = (base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets)
    signed = (base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode() for key in keys)
    return " ".join(f"v1,{one}" for one in signed)


def webhook_body(kind: str, data: Any, *, at: datetime) -> bytes:
    """Return the body of a webhook about an event at `at`."""
    stamp = at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03}Z"
    members = {"type": kind, "timestamp": stamp, "data": data}
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
