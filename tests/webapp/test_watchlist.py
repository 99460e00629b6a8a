"""Watchlists over HTTP: groups, items, their order, last trades and alerts."""

from datetime import date
from typing import Any
from unicodedata import normalize
from uuid import UUID, uuid4

import pytest

from tests.support.servers import Valkey
from tests.support.statements import statements_counted
from tests.support.trading_harness import HYNIX, SAMSUNG
from tests.trading.orders.steps import change_settings, do, rows, set_status
from tests.trading.portfolio.days import close
from tests.trading.threads import run_together
from tests.webapp.client import Api, Person, data_of, problem_of
from trading.accounts.accounts import close_account
from trading.watchlists.queries import directories_of

NAVER, KAKAO = "A035420", "A035720"


def create_directory(api: Api, who: Person, name: str) -> dict[str, Any]:
    """Create a directory."""
    opened: dict[str, Any] = data_of(api.post("/watchlist/directories", who, {"name": name}), 201)
    return opened


def add_stock(api: Api, who: Person, code: str = SAMSUNG, **more: Any) -> dict[str, Any]:
    """Add a stock."""
    item: dict[str, Any] = data_of(api.post("/watchlist", who, {"stock_code": code, **more}), 201)
    return item


def list_items(api: Api, who: Person, query: str = "limit=100") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = data_of(api.get(f"/watchlist?{query}", who))["items"]
    return items


def directory_names(api: Api, who: Person) -> list[str]:
    return [one["name"] for one in data_of(api.get("/watchlist/directories", who))["items"]]


@pytest.fixture
def person(api: Api) -> Person:
    """A user in a market whose last trade was at 70,000 won, 2,000 above the base price."""
    api.harness.tick(70_000, base=68_000)
    return api.person()


def test_new_user_has_an_empty_default_directory(api: Api, person: Person) -> None:
    """It can be renamed but not deleted."""
    (default,) = data_of(api.get("/watchlist/directories", person))["items"]
    assert (default["name"], default["is_default"], default["item_count"]) == ("관심 종목", True, 0)
    assert list_items(api, person) == []
    path = f"/watchlist/directories/{default['id']}"

    renamed = data_of(api.ask("PATCH", path, person, json={"name": "내 종목"}))

    assert renamed == data_of(api.get(path, person)) == {**default, "name": "내 종목"}
    for force in ("", "?force=true"):
        problem_of(api.ask("DELETE", path + force, person), "watchlist-default-stays")


def test_older_user_gets_the_default_directory_with_the_first_stock(
    api: Api, person: Person
) -> None:
    """Registered by a process without watchlists, after the migration."""
    do(
        api.harness,
        lambda session: session.connection().exec_driver_sql("DELETE FROM watchlist_directories"),
    )

    item = add_stock(api, person)

    assert directory_names(api, person) == ["관심 종목"]
    assert (
        item["directory_id"] == data_of(api.get("/watchlist/directories", person))["items"][0]["id"]
    )


def test_directories_are_created_renamed_and_moved(api: Api, person: Person) -> None:
    """A new one is last; a position beyond the end is the end."""
    chips, cars = (create_directory(api, person, name) for name in ("반도체", "자동차"))
    assert (chips["is_default"], chips["position"], cars["position"]) == (False, 1, 2)
    assert api.answers[-1].headers["Location"] == f"/api/v1/watchlist/directories/{cars['id']}"

    def move(one: dict[str, Any], **changes: Any) -> list[str]:
        data_of(api.ask("PATCH", f"/watchlist/directories/{one['id']}", person, json=changes))
        return directory_names(api, person)

    assert move(cars, position=0) == ["자동차", "관심 종목", "반도체"]
    assert move(cars, position=999_999, name="차") == ["관심 종목", "반도체", "차"]
    assert move(chips, position=1) == ["관심 종목", "반도체", "차"]
    assert move(chips, position=0) == ["반도체", "관심 종목", "차"]


def test_directory_name_is_unique_per_user(api: Api, person: Person) -> None:
    """In every Unicode spelling."""
    chips = create_directory(api, person, "반도체")
    apart = normalize("NFD", "반도체")
    for name in ("반도체", apart, " 반도체 ", "관심 종목"):
        problem_of(
            api.post("/watchlist/directories", person, {"name": name}), "watchlist-name-taken"
        )
    cars = create_directory(api, person, "자동차")
    path = f"/watchlist/directories/{cars['id']}"
    problem_of(api.ask("PATCH", path, person, json={"name": "반도체"}), "watchlist-name-taken")
    assert data_of(api.ask("PATCH", path, person, json={"name": "자동차"})) == cars

    other = create_directory(api, api.person(), apart)

    assert other["name"] == chips["name"]


def test_directory_with_stocks_is_deleted_only_with_force(api: Api, person: Person) -> None:
    """With its stocks and alerts, and nothing else."""
    chips = create_directory(api, person, "반도체")
    add_stock(api, person, HYNIX)
    add_stock(api, person, HYNIX, directory_id=chips["id"], target_price=300_000, lower_price=1)
    path = f"/watchlist/directories/{chips['id']}"

    refused = problem_of(api.ask("DELETE", path, person), "watchlist-directory-not-empty")
    assert refused["item_count"] == 1
    assert data_of(api.get(path, person))["item_count"] == 1
    assert data_of(api.ask("DELETE", f"{path}?force=true", person)) is None

    problem_of(api.get(path, person), "watchlist-directory-not-found")
    assert [item["directory_id"] for item in list_items(api, person)] == [person.id]
    assert rows(api.harness, "SELECT * FROM price_alerts") == []
    empty = create_directory(api, person, "빈 그룹")
    assert data_of(api.ask("DELETE", f"/watchlist/directories/{empty['id']}", person)) is None
    assert directory_names(api, person) == ["관심 종목"]


def test_item_has_its_last_trade(api: Api, person: Person) -> None:
    """STALE when it is old, CLOSE when it is recorded, null without one."""
    api.harness.tick(300_000, HYNIX, age_ms=60_000)
    close(api.harness, date(2026, 11, 19), 41_000, KAKAO)
    for code in (SAMSUNG, "000660", "035420", KAKAO):
        add_stock(api, person, code)

    samsung, hynix, naver, kakao = list_items(api, person)

    assert [one["stock_code"] for one in (samsung, hynix, naver)] == [SAMSUNG, HYNIX, NAVER]
    assert (kakao["quote"]["price"], kakao["quote"]["freshness"]) == (41_000, "CLOSE")
    assert data_of(api.get(f"/watchlist/{kakao['id']}", person)) == kakao
    assert (samsung["stock_name"], samsung["market"], samsung["memo"]) == (
        "삼성전자",
        "KOSPI",
        None,
    )
    quote = samsung["quote"]
    assert (quote["price"], quote["change"], quote["change_rate_bp"], quote["freshness"]) == (
        70_000,
        2_000,
        294,
        "LIVE",
    )
    assert (hynix["quote"]["price"], hynix["quote"]["age_ms"], hynix["quote"]["freshness"]) == (
        300_000,
        60_000,
        "STALE",
    )
    assert naver["quote"] is None
    assert data_of(api.get(f"/watchlist/{samsung['id']}", person)) == samsung
    assert quote == data_of(api.get(f"/trading/realtime/stock/{SAMSUNG}", person))


def test_alerts_have_their_distance(api: Api, person: Person) -> None:
    """In basis points of the price, signed; null without a price."""
    item = add_stock(
        api, person, target_price=72_000, upper_price=77_000, lower_price=69_999, memo="배당"
    )

    assert (item["target_price"], item["upper_price"], item["lower_price"]) == (
        72_000,
        77_000,
        69_999,
    )
    assert [
        (one["kind"], one["bound"], one["state"], one["distance_bp"]) for one in item["alerts"]
    ] == [
        ("target_price", 72_000, "ARMED", 285),
        ("upper_price", 77_000, "ARMED", 1_000),
        ("lower_price", 69_999, "ARMED", 0),
    ]
    assert api.answers[-1].headers["Location"] == f"/api/v1/watchlist/{item['id']}"
    assert list_items(api, person) == [item]
    unknown = add_stock(api, person, KAKAO, lower_price=30_000)
    assert [one["distance_bp"] for one in unknown["alerts"]] == [None]


def test_list_has_constant_cost(api: Api, person: Person) -> None:
    """The same number of statements as for one stock, and one Redis round trip."""

    def costs(path: str) -> tuple[int, int]:
        before = api.harness.core.redis.info("stats")["total_commands_processed"]
        with statements_counted(api.harness.core.database.engine) as sent:
            data_of(api.get(path, person))
        return len(sent), api.harness.core.redis.info("stats")["total_commands_processed"] - before

    add_stock(api, person, target_price=1)
    paths = ("/watchlist", f"/watchlist?directory_id={person.id}", "/watchlist/directories")
    few = [costs(path) for path in paths]
    more = create_directory(api, person, "더")
    for code in (HYNIX, NAVER, KAKAO):
        for where in (person.id, more["id"]):
            add_stock(api, person, code, directory_id=where, upper_price=10**9, lower_price=1)

    assert [costs(path) for path in paths] == few
    # Reading the command count is itself a command.
    assert [commands for _, commands in few] == [2, 2, 1]


def test_list_works_without_redis(
    api: Api, person: Person, valkey_server: Valkey, valkey_url: str
) -> None:
    """Without prices; alerts can still be set."""
    valkey_server.stop()
    try:
        item = add_stock(api, person, target_price=72_000)
        assert (item["quote"], item["alerts"][0]["distance_bp"]) == (None, None)
        assert list_items(api, person) == [item]
    finally:
        valkey_server.start()


def test_pages_continue_after_the_last_item(api: Api, person: Person) -> None:
    """Each stock once, also if the last item of a page was deleted meanwhile."""
    second = create_directory(api, person, "둘째")
    for where in (None, second["id"]):
        for code in (SAMSUNG, HYNIX, NAVER):
            add_stock(api, person, code, **({"directory_id": where} if where else {}))
    all_ids = [item["id"] for item in list_items(api, person)]
    assert len(set(all_ids)) == 6

    seen, cursor = [], ""
    while True:
        page = data_of(api.get(f"/watchlist?limit=2{cursor}", person))
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        if len(seen) == 2:
            api.ask("DELETE", f"/watchlist/{seen[-1]}", person)
        cursor = f"&cursor={page['next_cursor']}"

    assert seen == all_ids
    assert [
        item["id"] for item in list_items(api, person, f"directory_id={second['id']}")
    ] == all_ids[3:]


def test_stock_is_unique_in_a_directory(api: Api, person: Person) -> None:
    """By either code; another directory may have it too."""
    add_stock(api, person, "005930")
    refused = problem_of(
        api.post("/watchlist", person, {"stock_code": SAMSUNG}), "watchlist-duplicate"
    )
    assert (refused["stock_code"], refused["directory_id"]) == (SAMSUNG, person.id)
    second = create_directory(api, person, "둘째")
    there = add_stock(api, person, directory_id=second["id"])

    moved = api.ask("PATCH", f"/watchlist/{there['id']}", person, json={"directory_id": person.id})

    problem_of(moved, "watchlist-duplicate")
    assert len(list_items(api, person)) == 2


def test_unlisted_stocks_are_refused(api: Api, person: Person) -> None:
    """Unknown and delisted ones; a halted stock can be watched."""
    problem_of(api.post("/watchlist", person, {"stock_code": "A999999"}), "stock-not-found")
    set_status(api.harness, "DELISTED")
    problem_of(api.post("/watchlist", person, {"stock_code": SAMSUNG}), "stock-not-tradable")
    set_status(api.harness, "HALTED")
    add_stock(api, person)


def test_change_affects_only_given_members(api: Api, person: Person) -> None:
    """null removes a value."""
    item = add_stock(api, person, memo="첫 메모", target_price=72_000, upper_price=80_000)
    path = f"/watchlist/{item['id']}"

    assert data_of(api.ask("PATCH", path, person, json={"memo": "새 메모"})) == {
        **item,
        "memo": "새 메모",
    }
    cleared = data_of(
        api.ask(
            "PATCH", path, person, json={"memo": None, "target_price": None, "lower_price": None}
        )
    )

    assert (cleared["memo"], cleared["target_price"], cleared["upper_price"]) == (
        None,
        None,
        80_000,
    )
    assert [alert["kind"] for alert in cleared["alerts"]] == ["upper_price"]
    assert data_of(api.get(path, person)) == cleared


def test_crossing_alert_prices_are_refused(api: Api, person: Person) -> None:
    """Also against stored ones, and nothing is changed."""
    body = {"stock_code": SAMSUNG, "upper_price": 70_000, "lower_price": 70_000}
    refused = problem_of(api.post("/watchlist", person, body), "validation-failed")
    assert (refused["field"], refused["limit"]) == ("lower_price", 69_999)
    assert list_items(api, person) == []
    item = add_stock(api, person, upper_price=70_000)
    path = f"/watchlist/{item['id']}"
    problem_of(
        api.ask("PATCH", path, person, json={"lower_price": 71_000, "memo": "x"}),
        "validation-failed",
    )
    assert data_of(api.get(path, person)) == item
    both = data_of(
        api.ask("PATCH", path, person, json={"lower_price": 71_000, "upper_price": 71_001})
    )
    assert (both["lower_price"], both["upper_price"]) == (71_000, 71_001)


def test_item_moves_to_another_directory_with_its_alerts(api: Api, person: Person) -> None:
    """Only to an own directory; moving to its own has no effect."""
    second = create_directory(api, person, "둘째")
    add_stock(api, person, HYNIX, directory_id=second["id"])
    item = add_stock(api, person, target_price=72_000)
    path = f"/watchlist/{item['id']}"
    strange = create_directory(api, api.person(), "남의 것")
    for where in (strange["id"], str(uuid4())):
        refused = api.ask("PATCH", path, person, json={"directory_id": where})
        problem_of(refused, "watchlist-directory-not-found")

    moved = data_of(api.ask("PATCH", path, person, json={"directory_id": second["id"]}))

    assert moved == {**item, "directory_id": second["id"]}
    assert [
        one["stock_code"] for one in list_items(api, person, f"directory_id={second['id']}")
    ] == [
        HYNIX,
        SAMSUNG,
    ]
    assert data_of(api.ask("PATCH", path, person, json={"directory_id": second["id"]})) == moved


def test_items_are_sorted_in_one_statement(api: Api, person: Person) -> None:
    """A list that does not contain exactly the directory's items is refused."""
    ids = [add_stock(api, person, code)["id"] for code in (SAMSUNG, HYNIX, NAVER, KAKAO)]
    wanted = [ids[2], ids[0], ids[3], ids[1]]

    def put(item_ids: list[str]) -> Any:
        return api.ask(
            "PUT",
            "/watchlist/order",
            person,
            json={"directory_id": person.id, "item_ids": item_ids},
        )

    with statements_counted(api.harness.core.database.engine) as sent:
        assert data_of(put(wanted)) == {"directory_id": person.id, "item_ids": wanted}

    assert sum(statement.startswith("UPDATE watchlist_items") for statement in sent) == 1
    assert [item["id"] for item in list_items(api, person)] == wanted
    stranger = add_stock(api, api.person())["id"]
    refused = problem_of(put([*wanted[1:], stranger]), "watchlist-order-mismatch")
    assert (refused["missing"], refused["unknown"]) == ([wanted[0]], [stranger])
    problem_of(put([*wanted, wanted[0]]), "validation-failed")
    problem_of(put([]), "watchlist-order-mismatch")
    assert [item["id"] for item in list_items(api, person)] == wanted
    add_stock(api, person, "A005380")
    assert list_items(api, person)[-1]["stock_code"] == "A005380"
    empty = create_directory(api, person, "빈 그룹")
    assert data_of(
        api.ask(
            "PUT", "/watchlist/order", person, json={"directory_id": empty["id"], "item_ids": []}
        )
    )


def test_removed_item_loses_its_alerts(api: Api, person: Person) -> None:
    """Other items stay, and the stock can be added again."""
    first, second = (
        add_stock(api, person, target_price=1),
        add_stock(api, person, HYNIX, target_price=1),
    )

    assert data_of(api.ask("DELETE", f"/watchlist/{first['id']}", person)) is None

    problem_of(api.ask("DELETE", f"/watchlist/{first['id']}", person), "watchlist-item-not-found")
    assert [item["id"] for item in list_items(api, person)] == [second["id"]]
    assert len(rows(api.harness, "SELECT * FROM price_alerts")) == 1
    add_stock(api, person)


def test_limits_are_those_of_the_settings(api: Api, person: Person) -> None:
    """Also when items are moved."""
    change_settings(api.harness, watchlist_directories_max=2, watchlist_items_max=1)
    api.app.extensions["stocking"] = api.harness.core
    second = create_directory(api, person, "둘째")
    refused = problem_of(
        api.post("/watchlist/directories", person, {"name": "셋째"}), "watchlist-limit-reached"
    )
    assert (refused["limited"], refused["limit"]) == ("directories", 2)
    add_stock(api, person)
    there = add_stock(api, person, HYNIX, directory_id=second["id"])
    refused = problem_of(
        api.post("/watchlist", person, {"stock_code": NAVER}), "watchlist-limit-reached"
    )
    assert (refused["limited"], refused["limit"]) == ("items", 1)
    moved = api.ask("PATCH", f"/watchlist/{there['id']}", person, json={"directory_id": person.id})
    problem_of(moved, "watchlist-limit-reached")


def test_concurrent_requests_respect_uniqueness_and_limits(server_api: Api) -> None:
    """Five requests for one stock add it once; five for five stocks stop at the limit."""
    api = server_api
    person = api.person()
    change_settings(api.harness, watchlist_directories_max=3, watchlist_items_max=3)
    api.app.extensions["stocking"] = api.harness.core

    def together(path: str, bodies: list[dict[str, Any]]) -> list[int]:
        asks = [
            lambda body=body: api.another_client().post(path, person, body).status_code
            for body in bodies
        ]
        return sorted(run_together(*asks))

    assert together("/watchlist", [{"stock_code": SAMSUNG, "target_price": 1}] * 5) == [
        201,
        *[409] * 4,
    ]
    codes = (HYNIX, NAVER, KAKAO, "A005380", "A000270")
    assert together("/watchlist", [{"stock_code": code} for code in codes]) == [
        201,
        201,
        409,
        409,
        409,
    ]
    assert together("/watchlist/directories", [{"name": "같은 이름"}] * 4) == [201, 409, 409, 409]
    assert together("/watchlist/directories", [{"name": f"{number}"} for number in range(4)]) == [
        201,
        409,
        409,
        409,
    ]
    assert len(list_items(api, person)) == 3
    positions = rows(api.harness, "SELECT position FROM watchlist_items ORDER BY position")
    assert [row["position"] for row in positions] == [0, 1, 2]
    assert api.harness.breaches() == []


def test_repeated_key_adds_once(api: Api, person: Person) -> None:
    body, key = {"stock_code": SAMSUNG, "target_price": 72_000}, {"Idempotency-Key": "watch-1"}

    first, second = (api.post("/watchlist", person, body, headers=key) for _ in range(2))

    assert second.get_json() == first.get_json()
    assert second.headers["Idempotency-Replayed"] == "true"
    assert len(list_items(api, person)) == 1


def test_closed_account_has_no_watchlist(api: Api, person: Person) -> None:
    """Memos are personal data."""
    second = create_directory(api, person, "둘째")
    for where in (person.id, second["id"]):
        add_stock(api, person, directory_id=where, memo="비밀", target_price=72_000)

    api.harness.core.run(close_account, user_id=UUID(person.id))

    for table in ("watchlist_directories", "watchlist_items", "price_alerts"):
        assert rows(api.harness, f"SELECT * FROM {table}") == []


def test_watchlists_are_separate_per_user(api: Api, person: Person) -> None:
    """Another user's ids are not found anywhere, and nothing is changed."""
    mine, other = add_stock(api, person), api.person()
    for path in ("/watchlist?directory_id={}", "/watchlist/directories/{}"):
        problem_of(api.get(path.format(person.id), other), "watchlist-directory-not-found")
    body = {"directory_id": person.id, "stock_code": HYNIX}
    problem_of(api.post("/watchlist", other, body), "watchlist-directory-not-found")
    order = {"directory_id": person.id, "item_ids": [mine["id"]]}
    problem_of(
        api.ask("PUT", "/watchlist/order", other, json=order), "watchlist-directory-not-found"
    )
    problem_of(api.ask("DELETE", f"/watchlist/{mine['id']}", other), "watchlist-item-not-found")
    assert list_items(api, other) == []
    assert list_items(api, person) == [mine]
    (default,) = api.harness.core.read(directories_of, UUID(other.id))
    assert default.item_count == 0
