"""Payment names as the payer reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.errors import ValidationFailed
from trading.payments.order_names import OCTETS_MAX, clean_order_name

DISLIKED = set("%&|$-+=[]\\,<>\"'`^{}~")


@given(st.text(max_size=60))
def test_name_suits_every_gateway_or_is_refused(text: str) -> None:
    """Short enough, without a rejected character, and unchanged by cleaning it again."""
    try:
        name = clean_order_name(text)
    except ValidationFailed:
        return
    assert 1 <= len(name.encode()) <= OCTETS_MAX
    assert not DISLIKED & set(name)
    assert name.isprintable()
    assert name == name.strip() == clean_order_name(name)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("프리미엄 구독", "프리미엄 구독"),
        ("  크레딧   10,000원 ", "크레딧 10 000원"),
        ("A+B=C", "A B C"),
        ("a" * 40, "a" * 40),
        ("가" * 13, "가" * 13),
        ("\u1100\u1161", "가"),
    ],
)
def test_cleaned_names(text: str, name: str) -> None:
    assert clean_order_name(text) == name


@pytest.mark.parametrize(
    "text", ["", " ", "%%", "a" * 41, "가" * 14, "a\nb", "a\x00", "\u202e충전", "\ud800", "😀"]
)
def test_unprintable_or_too_long_name_is_refused(text: str) -> None:
    """Too long, empty, control or bidirectional characters, half a surrogate pair, or emoji."""
    with pytest.raises(ValidationFailed) as refused:
        clean_order_name(text)
    assert refused.value.facts == {"field": "order_name", "limit": OCTETS_MAX}
