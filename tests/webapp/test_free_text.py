"""Free text of the API is stored as typed, on every database."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.webapp.client import PASSWORD, Api, data_of, problem_of
from trading.text import RefusedCharacter, clean_text

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


@pytest.mark.every_database
@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("실적\n배당 3%\n\n매도", "실적\n배당 3%\n\n매도"),
        (f"{FAMILY} \U0001f44d\U0001f3fd \u2764\ufe0f 1\ufe0f\u20e3 \U0001f1f0\U0001f1f7",) * 2,
        ("반도체\u3000장비\u00a0주", "반도체\u3000장비\u00a0주"),
        ("\ufeff삼\u200b성\u2060전자\u200d", "삼성전자"),
        ("\u200b \u3000", None),
        ("", None),
        (FAMILY * 100, FAMILY * 100),
    ],
)
def test_memo_is_stored_as_typed(api: Api, typed: str, stored: str | None) -> None:
    person = api.person()

    item = data_of(api.post("/watchlist", person, {"stock_code": "A005930", "memo": typed}), 201)
    read = data_of(api.get("/watchlist", person))["items"][0]

    assert item["memo"] == read["memo"] == stored


@pytest.mark.every_database
def test_names_keep_emoji_and_wide_spaces(api: Api) -> None:
    body = {"email": "a@example.com", "password": PASSWORD, "name": f"\u200b나\u3000투자{FAMILY}"}
    assert data_of(api.post("/users", json=body), 201)["name"] == f"나\u3000투자{FAMILY}"
    person = api.person()
    for name, status in (("반도체\u3000장비", 201), ("반도체\u3000\u200b장비", 409)):
        made = api.post("/watchlist/directories", person, {"name": name})
        assert made.status_code == status


@pytest.mark.parametrize(
    ("memo", "message"),
    [
        ("ab\x07c", "3번째 문자(U+0007)"),
        ("\ud800", "1번째 문자(U+D800)"),
        ("가" * 501, "500자 이하"),
    ],
)
def test_refused_memo_states_the_reason(sqlite_api: Api, memo: str, message: str) -> None:
    person = sqlite_api.person()
    answer = sqlite_api.post("/watchlist", person, {"stock_code": "A005930", "memo": memo})
    errors = problem_of(answer, "validation-failed")["errors"]["json"]
    assert message in errors["memo"][0]


def test_length_is_counted_after_cleaning(sqlite_api: Api) -> None:
    person = sqlite_api.person()
    body = {"stock_code": "A005930", "memo": "\u200b" * 600 + "가" * 500}
    assert data_of(sqlite_api.post("/watchlist", person, body), 201)["memo"] == "가" * 500


@pytest.mark.parametrize("name", ["두\n줄", "탭\t", "\u200b", "\u3164", "\u3000", "\ud83d"])
def test_names_are_one_line_and_not_blank(sqlite_api: Api, name: str) -> None:
    made = sqlite_api.post("/watchlist/directories", sqlite_api.person(), {"name": name})
    assert made.status_code == (201 if name == "탭\t" else 422)


@pytest.mark.every_database
def test_any_memo_is_stored_or_refused(api: Api) -> None:
    person = api.person()
    item = data_of(api.post("/watchlist", person, {"stock_code": "A005930"}), 201)

    @settings(max_examples=60, deadline=None)
    @given(st.text(st.characters() | st.characters(categories=["Cs", "Cc", "Cf", "So"])))
    def store(memo: str) -> None:
        changed = api.client.patch(
            f"/api/v1/watchlist/{item['id']}",
            headers={**person.headers, "Content-Type": "application/json"},
            data=json.dumps({"memo": memo}),
        )
        try:
            stored = clean_text(memo, multiline=True) or None
        except RefusedCharacter:
            assert changed.status_code == 422
        else:
            assert data_of(changed)["memo"] == stored

    store()
