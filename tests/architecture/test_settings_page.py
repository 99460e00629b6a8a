"""docs/settings.md compared with the settings."""

import re

import pytest
from pydantic import SecretStr

from launcher.plan import ROOT
from trading.config.settings import Settings

ROW = re.compile(r"^\| `([A-Z0-9_]+)` \| (.+?) \| (.+?) \| (.+?) \|$")


def rows() -> dict[str, tuple[str, str, str]]:
    """Return default, unit and meaning of every variable on the page."""
    lines = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8").splitlines()
    return {
        found[1]: (found[2], found[3], found[4]) for line in lines if (found := ROW.match(line))
    }


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_page_lists_every_setting_with_its_default(name: str) -> None:
    default = Settings.model_fields[name].default
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    documented, _, _ = rows()[name.upper()]
    assert documented == (
        "–"
        if default is None
        else f"`{default:,}`".replace(",", "_")
        if isinstance(default, int)
        else f"`{default}`"
    )


def test_page_lists_no_unknown_setting() -> None:
    others = "".join(
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("deploy/gunicorn.conf.py", "Procfile", "launcher/plan.py", "start_services.sh")
    )
    unknown = [
        name for name in rows() if name.lower() not in Settings.model_fields and name not in others
    ]
    assert unknown == []
