"""What may go wrong while starting, told to a person."""


class LaunchError(Exception):
    """The start cannot go on. The message is one clear sentence for the operator, perhaps followed by the end of a log."""
