"""The live stream: ticks and own account events as server-sent events. See docs/streaming.md."""

import threading
from typing import Any

from flask import Flask, Response, current_app, request
from flask.views import MethodView
from marshmallow import Schema, fields, validate

from trading.market.push_feed import CODES_MAX, ClientFeed, event_id_of
from trading.rules.errors import TooManyStreams
from trading.rules.problems import MIMETYPE
from webapp.authentication import bearer, signed_in
from webapp.core import the_core
from webapp.documentation import make_blueprint
from webapp.fields import StockCode
from webapp.push_stream import Peer, PushStream
from webapp.schemas import Problem

blueprint = make_blueprint("Stream", "실시간 스트림")

EVENT_STREAM = "text/event-stream"
_PLACES = "stocking.streams"
_SERVING = "stocking.serving"
_EXAMPLE = 'id: 7\nevent: cash\ndata: {"id": 7, "kind": "cash", "data": {"amount": 700000}}\n\n'


class Followed(Schema):
    stock_codes = fields.List(
        StockCode(), load_default=list, validate=validate.Length(max=CODES_MAX)
    )
    last_event_id = fields.String(
        load_default=None,
        metadata={
            "description": "the last event's id, where the header Last-Event-ID can't be set",
            "example": "7",
        },
    )


def install(app: Flask) -> None:
    """Each stream holds a thread of this process, so that there are only so many places."""
    app.extensions[_PLACES] = threading.BoundedSemaphore(
        app.extensions["stocking"].settings.stream_clients_max
    )
    app.extensions.setdefault(_SERVING, lambda: True)


@blueprint.route("/trading/realtime/stream")
class Stream(MethodView):
    @signed_in
    @blueprint.arguments(Followed, location="query")
    @blueprint.response(200, {"type": "string"}, content_type=EVENT_STREAM, example=_EXAMPLE)
    @blueprint.alt_response(
        503, schema=Problem, content_type=MIMETYPE, description="too-many-streams"
    )
    def get(self, arguments: dict[str, Any]) -> Response:
        """Ticks of these stocks and own account events, as they happen; ``Last-Event-ID`` resumes."""
        last_event_id = event_id_of(
            request.headers.get("Last-Event-ID") or arguments["last_event_id"]
        )
        core = the_core()
        feed = ClientFeed(
            bearer(), codes=arguments["stock_codes"], last_event_id=last_event_id, now=core.clock()
        )
        headers = {
            "Cache-Control": "no-store",
            "X-Accel-Buffering": "no",
        }  # nginx would hold events back.
        if request.method == "HEAD":
            return Response(mimetype=EVENT_STREAM, headers=headers)
        places: threading.BoundedSemaphore = current_app.extensions[_PLACES]
        if not places.acquire(blocking=False):
            raise TooManyStreams(limit=core.settings.stream_clients_max)
        stream = PushStream(
            feed,
            core.redis,
            clock=core.clock,
            peer=Peer(request.environ.get("gunicorn.socket"), stall_s=core.settings.stream_stall_s),
            serving=current_app.extensions[_SERVING],
            closed=places.release,
        )
        return Response(stream, mimetype=EVENT_STREAM, headers=headers)
