"""Everything that the stand-in keeps in memory, from its start or its last reset on."""

import random
import secrets
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from aiohttp import web

from sandbox.portone.clock import Clock
from sandbox.portone.faults import Faults, WebhookDelivery
from sandbox.portone.merchant import LOOPBACK_HOSTS, WEBHOOK_SECRET
from sandbox.portone.payments import Payments
from sandbox.portone.webhooks import WebhookSender

TOKEN_LIFE = timedelta(minutes=30)
REQUESTS_MAX = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """Where webhooks go, what signs them, which hosts they may go to, and what PortOne's waits between attempts are multiplied by."""

    url: str | None = None
    secrets: Sequence[str] = (WEBHOOK_SECRET,)
    hosts: Iterable[str] = LOOPBACK_HOSTS
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Done:
    """What was asked under an idempotency key, and its answer: None while it is worked on."""

    fingerprint: tuple[str, str, bytes]
    at: datetime
    status: int = 0
    body: bytes | None = None


@dataclass
class Checkout:
    """A window that a page opened: whose result goes to a page of this origin, or with the browser to an address."""

    payment_id: str
    origin: str
    redirect_url: str | None


@dataclass
class StandIn:
    """The state that the API, the browser's side and the desk share."""

    clock: Clock
    rng: random.Random
    mail: Mail
    faults: Faults = field(default_factory=Faults)
    done: dict[str, Done] = field(default_factory=dict)
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

    def set_faults(self, faults: Faults) -> None:
        """All knobs at once."""
        self.faults = faults
        self.sender.faults = faults.webhooks
        self.payments.cancellations_max = faults.cancellations_max

    async def reset(self) -> None:
        """As it was at its start."""
        await self.sender.forget()
        self.payments = Payments(self.clock, self.rng)
        for kept in (self.done, self.tokens, self.checkouts, self.requests):
            kept.clear()
        self.set_faults(Faults())
        self.clock.advance(self.clock.base() - self.clock())

    def issue_token(self) -> str:
        """An access token for half an hour."""
        token = secrets.token_urlsafe(24)
        self.tokens[token] = self.clock() + TOKEN_LIFE
        return token

    def announce(self, mailing: WebhookDelivery | None = None) -> None:
        """Send webhooks of what happened since the last time."""
        for event in self.payments.events:
            self.sender.announce(event, identifier=self.payments.identifier(), mailing=mailing)
        self.payments.events.clear()

    def document(self, payment_id: str, *, stale: bool = False) -> dict[str, Any]:
        """A payment with the log of its webhooks, as the API tells it."""
        members = self.payments.document(payment_id, stale=stale)
        webhooks = self.sender.log(payment_id)
        return {**members, "webhooks": webhooks} if webhooks else members


def stand_in_of(request: web.Request) -> StandIn:
    """The state behind the server that a request came to."""
    return request.app[STAND_IN]


STAND_IN = web.AppKey("stand_in", StandIn)
