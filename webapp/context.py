"""URL prefix of the API and access to the trading core of the current application."""

from flask import current_app

from trading.bootstrap import Core

PREFIX = "/api/v1"


def get_core() -> Core:
    core: Core = current_app.extensions["stocking"]
    return core
