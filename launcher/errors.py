"""Errors of the launcher."""


class LaunchError(Exception):
    """The start failed. The message is one sentence for the operator, possibly with the end of a
    log.
    """
