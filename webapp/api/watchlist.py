"""Watchlists: directories of stocks, each beside its last trade, and the prices at which their owner is told."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, cast
from uuid import UUID

import structlog
from flask import Response
from flask.views import MethodView
from marshmallow import RAISE
from sqlalchemy.orm import Session

from trading.db.ids import new_id
from trading.db.transactions import rerun_is_safe
from trading.marketdata.quotes import MarketUnavailable
from trading.marketdata.ticks import Tick
from trading.orders.validate import MarketSnapshot, market_snapshot
from trading.pagination import Page
from trading.watchlists.directories import change_directory, open_directory, remove_directory
from trading.watchlists.errors import WatchlistDirectoryNotFound, WatchlistItemNotFound
from trading.watchlists.items import ItemChanges, add_item, change_item, order_items, remove_item
from trading.watchlists.queries import (
    ItemRecord,
    ItemRows,
    directories_of,
    directory_of,
    item_of,
    items_of,
)
from webapp.api.realtime import quote_of
from webapp.api.watchlist_schemas import (
    DirectoryRemovalQuerySchema,
    WatchlistDirectoryChangeSchema,
    WatchlistDirectoryRequestSchema,
    WatchlistDirectorySchema,
    WatchlistItemChangeSchema,
    WatchlistItemListQuerySchema,
    WatchlistItemRequestSchema,
    WatchlistItemSchema,
    WatchlistOrderSchema,
)
from webapp.context import get_core
from webapp.http.authentication import current_user, login_required
from webapp.http.commands import CommandResult, run_command
from webapp.http.openapi import make_blueprint
from webapp.http.schemas import TaskResultSchema, envelope, page, success

log = structlog.get_logger(__name__)

blueprint = make_blueprint("Watchlist", "관심 종목")

_DIRECTORY_OPENED = "관심 종목 그룹을 만들었습니다."
_DIRECTORY_CHANGED = "관심 종목 그룹을 변경했습니다."
_DIRECTORY_REMOVED = "관심 종목 그룹을 삭제했습니다."
_ADDED = "관심 종목에 추가했습니다."
_CHANGED = "관심 종목을 변경했습니다."
_REMOVED = "관심 종목에서 삭제했습니다."
_ORDERED = "관심 종목의 순서를 변경했습니다."


@blueprint.route("/watchlist/directories")
class DirectoryList(MethodView):
    @login_required
    @blueprint.response(200, page(WatchlistDirectorySchema))
    def get(self) -> dict[str, object]:
        """All of one's directories, in their order."""
        user_id = current_user().user_id
        return success(
            Page(get_core().database.read(lambda session: directories_of(session, user_id)), None)
        )

    @login_required
    @blueprint.arguments(WatchlistDirectoryRequestSchema)
    @blueprint.response(201, envelope(WatchlistDirectorySchema))
    def post(self, body: dict[str, Any]) -> Response:
        """Open a directory behind the others. A name is used once."""
        core, now, mine = get_core(), get_core().clock(), _mine(directory_id=new_id())

        def opened(session: Session) -> CommandResult:
            location = f"/api/v1/watchlist/directories/{mine['directory_id']}"
            return CommandResult(_DIRECTORY_OPENED, directory_of(session, **mine), location)

        def work(session: Session) -> CommandResult:
            open_directory(session, **mine, **body, settings=core.settings, now=now)
            return opened(session)

        landed = partial(_unless, WatchlistDirectoryNotFound, opened)
        return run_command(
            work, schema=envelope(WatchlistDirectorySchema), status=201, landed=landed
        )


@blueprint.route("/watchlist/directories/<uuid:directory_id>")
class DirectoryDetail(MethodView):
    @login_required
    @blueprint.response(200, envelope(WatchlistDirectorySchema))
    def get(self, directory_id: UUID) -> dict[str, object]:
        """One directory. Its stocks are in GET /watchlist?directory_id=."""
        mine = _mine(directory_id=directory_id)
        return success(get_core().database.read(lambda session: directory_of(session, **mine)))

    @login_required
    @blueprint.arguments(WatchlistDirectoryChangeSchema)
    @blueprint.response(200, envelope(WatchlistDirectorySchema))
    def patch(self, body: dict[str, Any], directory_id: UUID) -> Response:
        """Rename a directory, or move it to another place."""
        now, mine = get_core().clock(), _mine(directory_id=directory_id)

        def work(session: Session) -> CommandResult:
            change_directory(session, **mine, **body, now=now)
            return CommandResult(_DIRECTORY_CHANGED, directory_of(session, **mine))

        return run_command(work, schema=envelope(WatchlistDirectorySchema), landed=rerun_is_safe)

    @login_required
    @blueprint.arguments(DirectoryRemovalQuerySchema, location="query", unknown=RAISE)
    @blueprint.response(200, TaskResultSchema)
    def delete(self, options: dict[str, Any], directory_id: UUID) -> Response:
        """Delete a directory: an empty one, or with force=true also its stocks and their alerts. The default one stays."""
        now, mine = get_core().clock(), _mine(directory_id=directory_id)
        return _remove(
            lambda session: remove_directory(session, **mine, **options, now=now),
            find=lambda session: directory_of(session, **mine),
            gone=WatchlistDirectoryNotFound,
            message=_DIRECTORY_REMOVED,
        )


@blueprint.route("/watchlist")
class WatchlistItemList(MethodView):
    @login_required
    @blueprint.arguments(WatchlistItemListQuerySchema, location="query")
    @blueprint.response(200, page(WatchlistItemSchema))
    def get(self, filters: dict[str, Any]) -> dict[str, object]:
        """Watched stocks beside their last trades, in the order of the directories and in them; or those of one directory."""
        core, user_id = get_core(), current_user().user_id
        found = core.database.snapshot(
            lambda session: items_of(session, user_id=user_id, **filters)
        )
        ticks: Mapping[str, Tick] = {}
        try:
            ticks = core.quotes.last_ticks(found.stock_codes)
        except MarketUnavailable:
            # What is watched stays visible; what it costs is then unknown.
            log.warning("market_unavailable_for_watchlist")
        return success(found.beside(ticks, _quotes(core.clock())))

    @login_required
    @blueprint.arguments(WatchlistItemRequestSchema)
    @blueprint.response(201, envelope(WatchlistItemSchema))
    def post(self, body: dict[str, Any]) -> Response:
        """Watch a stock. A directory has it once."""
        core, now, mine = get_core(), get_core().clock(), _mine(item_id=new_id())
        location = f"/api/v1/watchlist/{mine['item_id']}"

        def added(session: Session, market: MarketSnapshot) -> CommandResult:
            return CommandResult(
                _ADDED, _shown(item_of(session, **mine), market.tick, now), location
            )

        def work(session: Session) -> CommandResult:
            bounds = body.get("bounds", {})
            market = add_item(
                session,
                **mine,
                **{**body, "bounds": bounds},
                quotes=core.quotes,
                settings=core.settings,
                now=now,
            )
            return added(session, market)

        def find(session: Session) -> CommandResult:
            return added(session, market_snapshot(core.quotes, body["stock_code"]))

        landed = partial(_unless, WatchlistItemNotFound, find)
        return run_command(work, schema=envelope(WatchlistItemSchema), status=201, landed=landed)


@blueprint.route("/watchlist/<uuid:item_id>")
class WatchlistItemDetail(MethodView):
    @login_required
    @blueprint.response(200, envelope(WatchlistItemSchema))
    def get(self, item_id: UUID) -> dict[str, object]:
        """One watched stock."""
        core, user_id = get_core(), current_user().user_id
        found = core.database.snapshot(
            lambda session: item_of(session, user_id=user_id, item_id=item_id)
        )
        market = market_snapshot(core.quotes, *found.stock_codes)
        return success(_shown(found, market.tick, core.clock()))

    @login_required
    @blueprint.arguments(WatchlistItemChangeSchema)
    @blueprint.response(200, envelope(WatchlistItemSchema))
    def patch(self, body: dict[str, Any], item_id: UUID) -> Response:
        """Change the memo or the prices, arm what has fired, or move the stock to the end of another directory."""
        core, now, mine = get_core(), get_core().clock(), _mine(item_id=item_id)

        def work(session: Session) -> CommandResult:
            market = change_item(
                session,
                **mine,
                changes=cast("ItemChanges", body),
                quotes=core.quotes,
                settings=core.settings,
                now=now,
            )
            return CommandResult(_CHANGED, _shown(item_of(session, **mine), market.tick, now))

        return run_command(work, schema=envelope(WatchlistItemSchema), landed=rerun_is_safe)

    @login_required
    @blueprint.response(200, TaskResultSchema)
    def delete(self, item_id: UUID) -> Response:
        """No longer watch a stock; its alerts go too."""
        now, mine = get_core().clock(), _mine(item_id=item_id)
        return _remove(
            lambda session: remove_item(session, **mine, now=now),
            find=lambda session: item_of(session, **mine),
            gone=WatchlistItemNotFound,
            message=_REMOVED,
        )


@blueprint.route("/watchlist/order")
class SortWatchlist(MethodView):
    @login_required
    @blueprint.arguments(WatchlistOrderSchema)
    @blueprint.response(200, envelope(WatchlistOrderSchema))
    def put(self, body: dict[str, Any]) -> Response:
        """Put a directory's stocks into order. All of them are named, so that what was added meanwhile is not lost sight of."""
        now, user_id = get_core().clock(), current_user().user_id

        def work(session: Session) -> CommandResult:
            order_items(session, user_id=user_id, **body, now=now)
            return CommandResult(_ORDERED, body)

        return run_command(work, schema=envelope(WatchlistOrderSchema), landed=rerun_is_safe)


def _mine(**ids: UUID) -> dict[str, Any]:
    """What names a thing of the signed-in user's to every use case and query."""
    return {"user_id": current_user().user_id, **ids}


def _quotes(now: datetime) -> Callable[[Tick], Mapping[str, Any]]:
    return lambda tick: quote_of(tick, now)


def _shown(found: ItemRows, tick: Tick | None, now: datetime) -> ItemRecord:
    """A single item beside its last trade."""
    (item,) = found.beside({} if tick is None else {tick.code: tick}, _quotes(now)).items
    return item


def _unless(
    missing: type[Exception], find: Callable[[Session], CommandResult], session: Session
) -> CommandResult | None:
    """What ``find`` finds; None where it is missing."""
    try:
        return find(session)
    except missing:
        return None


def _remove(
    work: Callable[[Session], None],
    *,
    find: Callable[[Session], object],
    gone: type[Exception],
    message: str,
) -> Response:
    """Remove something that ``find`` finds while it is there, and else raises ``gone``."""

    def removed(session: Session) -> CommandResult:
        work(session)
        return CommandResult(message)

    def landed(session: Session) -> CommandResult | None:
        try:
            find(session)
        except gone:
            return CommandResult(message)
        return None

    return run_command(removed, schema=TaskResultSchema, landed=landed)
