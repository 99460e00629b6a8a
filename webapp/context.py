"""What every room of the API refers to: where it lies, and the trading core of the application that answers the current request."""

from flask import current_app

from trading.bootstrap import Core

PREFIX = "/api/v1"


def get_core() -> Core:
    core: Core = current_app.extensions["stocking"]
    return core
