"""Expected failures: one line for the user instead of a traceback."""

from __future__ import annotations

import sys
from collections.abc import Callable


class Problem(Exception):
    """What is wrong, where, what was expected and what was found."""


def run(program: str, main: Callable[[], int]) -> None:
    """Ends the process with the status of ``main``; 2 for a problem."""
    try:
        status = main()
    except Problem as problem:
        print(f"{program}: {problem}", file=sys.stderr)
        status = 2
    sys.exit(status)
