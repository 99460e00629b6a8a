"""Run several `flask` commands in one process.

`python -m launcher.flask_commands db upgrade -- seed` runs two commands. Importing the application
takes most of the time of a command, and this imports it once. The exit status is that of the first
command that fails, else 0.
"""

import sys
from collections.abc import Sequence
from itertools import groupby

from flask.cli import FlaskGroup


def main(arguments: Sequence[str]) -> int:
    """Run the commands separated by `--`, up to the first one that fails."""
    flask = FlaskGroup()
    for is_separator, words in groupby(arguments, key="--".__eq__):
        if is_separator:
            continue
        try:
            flask.main(args=list(words), prog_name="flask")
        except SystemExit as ended:
            if ended.code not in {None, 0}:
                return ended.code if isinstance(ended.code, int) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
