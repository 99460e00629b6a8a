"""What the payer reads in the payment gateway's window."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading.errors import ValidationFailed
from trading.payments.order_names import OCTETS_MAX, clean_order_name

DISLIKED = set("%&|$-+=[]\\,<>\"'`^{}~")


@given(st.text(max_size=60))
def test_a_name_is_good_for_every_gateway_or_refused(text: str) -> None:
    """Short enough, without a sign that one of them fails on, and cleaning it again changes nothing."""
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
def test_what_becomes_of_a_name(text: str, name: str) -> None:
    assert clean_order_name(text) == name


@pytest.mark.parametrize(
    "text", ["", " ", "%%", "a" * 41, "가" * 14, "a\nb", "a\x00", "\u202e충전", "\ud800", "😀"]
)
def test_a_name_that_can_not_be_shown_is_refused(text: str) -> None:
    """Too long, empty, with control characters or ones that turn the text around, half a character, or emoji."""
    with pytest.raises(ValidationFailed) as refused:
        clean_order_name(text)
    assert refused.value.facts == {"field": "order_name", "limit": OCTETS_MAX}
