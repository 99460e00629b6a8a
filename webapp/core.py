"""The trading core of the application that answers the current request."""

from flask import current_app

from trading.core import Core


def the_core() -> Core:
    core: Core = current_app.extensions["stocking"]
    return core
