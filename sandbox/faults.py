"""Faults of the Toss stand-in, set in process by tests or over the control port.

`Faults()` has no fault. Each applies to all connections until it is reset. Impossible values raise
ValidationError.
"""

from enum import StrEnum, auto
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from websockets.frames import EXTERNAL_CLOSE_CODES

from relayer.stomp.limits import HEART_BEAT_MS_MAX

# The server aborts a handshake that takes longer than ten seconds.
TOKEN_DELAY_MS_MAX = 9_000
RECEIPT_DELAY_MS_MAX = 60_000
REST_DELAY_MS_MAX = 60_000
REST_RETRY_AFTER_S_MAX = 86_400
OCTETS_MAX = 64 * 1024
COPIES_MAX = 100
GROUP_MAX = 1_000
REPLAYED_MAX = 1_000

HeartBeatMs = Annotated[int, Field(ge=0, le=HEART_BEAT_MS_MAX)]


class Moment(StrEnum):
    """Point in a connection: CONNECT received, SUBSCRIBE received, or a trade to send."""

    CONNECT = auto()
    SUBSCRIBE = auto()
    MESSAGE = auto()


class ConnectionEnd(StrEnum):
    """How a connection ends.

    CLOSE: with a close frame. ABORT: TCP closes without one. RESET: TCP is reset. STALL: it stays
    open and is neither read nor written. NONE: it continues.
    """

    CLOSE = auto()
    ABORT = auto()
    RESET = auto()
    STALL = auto()
    NONE = auto()


class RestBody(StrEnum):
    """Body of a REST answer.

    WHOLE: unchanged. GARBAGE: a page declared as JSON. HALF: the first half, then a disconnect.
    DRIP: a byte now and then.
    """

    WHOLE = auto()
    GARBAGE = auto()
    HALF = auto()
    DRIP = auto()


class _Knobs(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, validate_assignment=True)


class Break(_Knobs):
    """Break-off at a moment: the due frame is not sent, `writes` is sent instead, and the
    connection ends.

    In `writes`, `{token}` stands for the client's token and `{receipt}` for the receipt it
    requested.
    """

    model_config = ConfigDict(frozen=True)

    at: Moment
    ending: ConnectionEnd
    writes: str = Field(default="", max_length=OCTETS_MAX)
    close_code: int = 1000

    @model_validator(mode="after")
    def _close_code_can_be_sent(self) -> Self:
        if self.close_code not in EXTERNAL_CLOSE_CODES and not 3_000 <= self.close_code < 5_000:
            raise ValueError("close_code is none that a close frame may carry")
        return self


class Faults(_Knobs):
    """All faults, described in docs/relayer.md. Durations are in milliseconds, sizes in bytes."""

    token_status: Literal[200, 403, 429, 500, 503] = 200
    token_delay_ms: int = Field(default=0, ge=0, le=TOKEN_DELAY_MS_MAX)
    rest_status: Literal[200, 403, 404, 429, 500, 503] = 200
    rest_retry_after_s: int | None = Field(default=None, ge=0, le=REST_RETRY_AFTER_S_MAX)
    rest_delay_ms: int = Field(default=0, ge=0, le=REST_DELAY_MS_MAX)
    rest_body: RestBody = RestBody.WHOLE
    breaks: Break | None = None
    refused_destinations: set[str] = Field(default_factory=set)
    heart_beat_ms: tuple[HeartBeatMs, HeartBeatMs] | None = None
    beats: bool = True
    receipts: bool = True
    receipt_delay_ms: int = Field(default=0, ge=0, le=RECEIPT_DELAY_MS_MAX)
    message_octets: int | None = Field(default=None, ge=1, le=OCTETS_MAX)
    binary: bool = False
    crlf: bool = False
    copies: int = Field(default=1, ge=1, le=COPIES_MAX)
    reversed_in: int = Field(default=1, ge=1, le=GROUP_MAX)
    replayed: int = Field(default=0, ge=0, le=REPLAYED_MAX)
    malformed: bool = False
    unfamiliar: bool = False
