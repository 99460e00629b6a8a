"""Toss product codes: ``A`` and the exchange's six characters, digits or letters (``A0126Z0``)."""

import re

_SHORT_CODE = re.compile(r"[0-9A-Z]{6}", re.ASCII)
PRODUCT_CODE = "A[0-9A-Z]{6}"
_PRODUCT_CODE = re.compile(PRODUCT_CODE, re.ASCII)


def product_code(text: str) -> str | None:
    """Return ``"005930"`` or ``"A005930"`` (any case) as ``"A005930"``; None for other text."""
    code = text.strip().upper()
    if _PRODUCT_CODE.fullmatch(code):
        return code
    if _SHORT_CODE.fullmatch(code):
        return f"A{code}"
    return None
