"""State of the stand-in in memory, since its start or last reset."""

import random
import secrets
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from sandbox.portone.clock import Clock
from sandbox.portone.faults import PortoneFaults, WebhookDelivery
from sandbox.portone.merchant import LOOPBACK_HOSTS, WEBHOOK_SECRET
from sandbox.portone.payments import Payments
from sandbox.portone.webhooks import WebhookSender

TOKEN_LIFE = timedelta(minutes=30)
REQUESTS_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookSettings:
    """Webhook settings: URL, secrets, allowed hosts, and a factor for waits between attempts."""

    url: str | None = None
    secrets: Sequence[str] = (WEBHOOK_SECRET,)
    hosts: Iterable[str] = LOOPBACK_HOSTS
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """Request under an idempotency key, and its answer; None while it is processed."""

    fingerprint: tuple[str, str, bytes]
    at: datetime
    status: int = 0
    body: bytes | None = None


@dataclass
class Checkout:
    """An opened payment window, whose result goes to the opening origin or to a redirect URL."""

    payment_id: str
    origin: str
    redirect_url: str | None


@dataclass
class StandIn:
    """State shared by the API, the browser side and the control API."""

    clock: Clock
    rng: random.Random
    mail: WebhookSettings
    faults: PortoneFaults = field(default_factory=PortoneFaults)
    done: dict[str, IdempotentRequest] = field(default_factory=dict)
    tokens: dict[str, datetime] = field(default_factory=dict)
    checkouts: dict[str, Checkout] = field(default_factory=dict)
    requests: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=REQUESTS_MAX))

    def __post_init__(self) -> None:
        self.payments = Payments(self.clock, self.rng)
        self.sender = WebhookSender(
            url=self.mail.url,
            secrets=self.mail.secrets,
            hosts=self.mail.hosts,
            scale=self.mail.scale,
            clock=self.clock,
            rng=self.rng,
        )

    def set_faults(self, faults: PortoneFaults) -> None:
        """Replace all faults."""
        self.faults = faults
        self.sender.faults = faults.webhooks
        self.payments.cancellations_max = faults.cancellations_max

    async def reset(self) -> None:
        """Restore the state at the start."""
        await self.sender.clear()
        self.payments = Payments(self.clock, self.rng)
        for kept in (self.done, self.tokens, self.checkouts, self.requests):
            kept.clear()
        self.set_faults(PortoneFaults())
        self.clock.advance(self.clock.base() - self.clock())

    def issue_token(self) -> str:
        """Return an access token that is valid for half an hour."""
        token = secrets.token_urlsafe(24)
        self.tokens[token] = self.clock() + TOKEN_LIFE
        return token

    def announce(self, mailing: WebhookDelivery | None = None) -> None:
        """Send webhooks for events since the last call."""
        for event in self.payments.events:
            self.sender.announce(event, identifier=self.payments.identifier(), mailing=mailing)
        self.payments.events.clear()

    def document(self, payment_id: str, *, stale: bool = False) -> dict[str, Any]:
        """Return a payment with its webhook log, as the API does."""
        members = self.payments.document(payment_id, stale=stale)
        webhooks = self.sender.log(payment_id)
        return {**members, "webhooks": webhooks} if webhooks else members


def stand_in_of(request: web.Request) -> StandIn:
    """Return the state of the server that received the request."""
    return request.app[STAND_IN]


STAND_IN = web.AppKey("stand_in", StandIn)
