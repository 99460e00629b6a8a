"""Watchlists: groups of stocks with their last trades and price alerts."""

from functools import partial
from typing import Any
from uuid import UUID

from flask import Response
from flask.views import MethodView

from trading.db.ids import new_id
from trading.orders.validate import market_snapshot
from trading.pagination import Page
from trading.stocks.valuation_prices import load_recorded_prices
from trading.watchlists.directories import (
    ChangeDirectory,
    OpenDirectory,
    RemoveDirectory,
    change_directory,
    open_directory,
    remove_directory,
)
from trading.watchlists.items import (
    AddItem,
    ChangeItem,
    SortItems,
    WatchedItem,
    add_item,
    change_item,
    remove_item,
    sort_items,
)
from trading.watchlists.queries import (
    ItemRecord,
    directories_of,
    directory_of,
    item_of,
    items_of,
)
from webapp.api.valuation import last_prices, prices_at, quote_of
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
from webapp.http.commands import run_command
from webapp.http.openapi import make_blueprint
from webapp.http.schemas import TaskResultSchema, envelope, page, success

blueprint = make_blueprint("Watchlist", "관심 종목")


@blueprint.route("/watchlist/directories")
class DirectoryList(MethodView):
    @login_required
    @blueprint.response(200, page(WatchlistDirectorySchema))
    def get(self) -> dict[str, object]:
        """List your watchlist groups.

        관심 종목 그룹 목록 조회. 모든 관심 종목 그룹을 순서대로 조회합니다.
        """
        return success(Page(get_core().read(directories_of, current_user().user_id), None))

    @login_required
    @blueprint.arguments(WatchlistDirectoryRequestSchema)
    @blueprint.response(201, envelope(WatchlistDirectorySchema))
    def post(self, body: dict[str, Any]) -> Response:
        """Create a watchlist group.

        관심 종목 그룹 생성. 맨 뒤에 새 그룹을 만듭니다. 같은 이름은 한 번만 쓸 수 있습니다.
        """
        command = OpenDirectory(
            directory_id=new_id(), user_id=current_user().user_id, name=body["name"]
        )
        return run_command(
            partial(open_directory, command=command),
            schema=envelope(WatchlistDirectorySchema),
            status=201,
            message="관심 종목 그룹을 만들었습니다.",
            location=f"/api/v1/watchlist/directories/{command.directory_id}",
        )


@blueprint.route("/watchlist/directories/<uuid:directory_id>")
class DirectoryDetail(MethodView):
    @login_required
    @blueprint.response(200, envelope(WatchlistDirectorySchema))
    def get(self, directory_id: UUID) -> dict[str, object]:
        """Get one watchlist group.

        관심 종목 그룹 조회. 그룹 하나를 조회합니다. 그룹의 종목은 `GET /watchlist?directory_id=`로
        조회합니다.
        """
        user_id = current_user().user_id
        return success(get_core().read(directory_of, user_id=user_id, directory_id=directory_id))

    @login_required
    @blueprint.arguments(WatchlistDirectoryChangeSchema)
    @blueprint.response(200, envelope(WatchlistDirectorySchema))
    def patch(self, body: dict[str, Any], directory_id: UUID) -> Response:
        """Rename or move a watchlist group.

        관심 종목 그룹 변경. 그룹의 이름이나 순서를 변경합니다.
        """
        command = ChangeDirectory(directory_id=directory_id, user_id=current_user().user_id, **body)
        return run_command(
            partial(change_directory, command=command),
            schema=envelope(WatchlistDirectorySchema),
            message="관심 종목 그룹을 변경했습니다.",
        )

    @login_required
    @blueprint.arguments(DirectoryRemovalQuerySchema, location="query")
    @blueprint.response(200, TaskResultSchema)
    def delete(self, options: dict[str, Any], directory_id: UUID) -> Response:
        """Delete a watchlist group.

        관심 종목 그룹 삭제. 빈 그룹을 삭제합니다. `force=true`로 요청하면 그룹의 종목과 가격 알림도
        함께 삭제합니다. 기본 그룹은 삭제할 수 없습니다.
        """
        command = RemoveDirectory(
            directory_id=directory_id, user_id=current_user().user_id, force=options["force"]
        )
        return run_command(
            partial(remove_directory, command=command),
            schema=TaskResultSchema,
            message="관심 종목 그룹을 삭제했습니다.",
        )


@blueprint.route("/watchlist")
class WatchlistItemList(MethodView):
    @login_required
    @blueprint.arguments(WatchlistItemListQuerySchema, location="query")
    @blueprint.response(200, page(WatchlistItemSchema))
    def get(self, filters: dict[str, Any]) -> dict[str, object]:
        """List watched stocks with their last trades.

        관심 종목 목록 조회. 관심 종목을 최근 체결가와 함께 그룹과 그룹 안의 순서대로 조회합니다. 한
        그룹만 조회할 수도 있습니다.
        """
        core = get_core()
        found = core.snapshot(items_of, user_id=current_user().user_id, **filters)
        codes, now = found.stock_codes, core.clock()
        recorded = core.read(load_recorded_prices, codes, now=now)
        return success(found.with_prices(last_prices(codes, recorded, now=now), quote_of))

    @login_required
    @blueprint.arguments(WatchlistItemRequestSchema)
    @blueprint.response(201, envelope(WatchlistItemSchema))
    def post(self, body: dict[str, Any]) -> Response:
        """Add a stock to a watchlist group.

        관심 종목 추가. 그룹에 종목을 추가합니다. 한 그룹에 같은 종목은 한 번만 추가할 수 있습니다.
        """
        command = AddItem(item_id=new_id(), user_id=current_user().user_id, **body)
        return run_command(
            partial(add_item, command=command),
            schema=envelope(WatchlistItemSchema),
            status=201,
            message="관심 종목에 추가했습니다.",
            data=_record,
            location=f"/api/v1/watchlist/{command.item_id}",
        )


@blueprint.route("/watchlist/<uuid:item_id>")
class WatchlistItemDetail(MethodView):
    @login_required
    @blueprint.response(200, envelope(WatchlistItemSchema))
    def get(self, item_id: UUID) -> dict[str, object]:
        """Get one watched stock.

        관심 종목 조회. 관심 종목 하나를 조회합니다.
        """
        core = get_core()
        found = core.snapshot(item_of, user_id=current_user().user_id, item_id=item_id)
        market = market_snapshot(core.quotes, *found.stock_codes)
        return success(_record(WatchedItem(found, market.tick)))

    @login_required
    @blueprint.arguments(WatchlistItemChangeSchema)
    @blueprint.response(200, envelope(WatchlistItemSchema))
    def patch(self, body: dict[str, Any], item_id: UUID) -> Response:
        """Change a watched stock.

        관심 종목 변경. 메모나 알림 가격을 변경하거나, 울린 알림을 다시 켜거나, 종목을 다른 그룹의
        맨 뒤로 옮깁니다.
        """
        command = ChangeItem(
            item_id=item_id,
            user_id=current_user().user_id,
            changes_memo="memo" in body,
            **body,
        )
        return run_command(
            partial(change_item, command=command),
            schema=envelope(WatchlistItemSchema),
            message="관심 종목을 변경했습니다.",
            data=_record,
        )

    @login_required
    @blueprint.response(200, TaskResultSchema)
    def delete(self, item_id: UUID) -> Response:
        """Remove a watched stock.

        관심 종목 삭제. 관심 종목과 가격 알림을 삭제합니다.
        """
        return run_command(
            partial(remove_item, user_id=current_user().user_id, item_id=item_id),
            schema=TaskResultSchema,
            message="관심 종목에서 삭제했습니다.",
        )


@blueprint.route("/watchlist/order")
class SortWatchlist(MethodView):
    @login_required
    @blueprint.arguments(WatchlistOrderSchema)
    @blueprint.response(200, envelope(WatchlistOrderSchema))
    def put(self, body: dict[str, Any]) -> Response:
        """Sort the stocks of a watchlist group.

        관심 종목 순서 변경. 그룹의 종목 순서를 변경합니다. 그사이 추가된 종목이 빠지지 않도록
        그룹의 모든 종목을 보내야 합니다.
        """
        command = SortItems(user_id=current_user().user_id, **body)
        return run_command(
            partial(sort_items, command=command),
            schema=envelope(WatchlistOrderSchema),
            message="관심 종목 순서를 변경했습니다.",
        )


def _record(watched: WatchedItem) -> ItemRecord:
    """Return one item with its last trade."""
    core, now, tick = get_core(), get_core().clock(), watched.tick
    recorded = core.read(load_recorded_prices, watched.rows.stock_codes, now=now)
    prices = prices_at({} if tick is None else {tick.code: tick}, recorded, now=now)
    (item,) = watched.rows.with_prices(prices, quote_of).items
    return item
