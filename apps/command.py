"""What the commands of the applications share: how they end, how they write, and numbers."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable

from thumbnet.codegen.errors import ThumbnetError, ToolError


def ended(
    name: str, action: Callable[[], int], *, as_json: bool = False, stopped: str = "stopped"
) -> int:
    """Runs a command of the application `name`. Exit status: what it gives, 1 where it is refused
    with a reason."""
    try:
        return action()
    except (ThumbnetError, OSError) as error:
        kind, message = _told(error)
        if as_json:
            print(json.dumps({"error": {"kind": kind, "message": message}}))
        print(f"{name}: {message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: {stopped}", file=sys.stderr)
        return 130


def _told(error: ThumbnetError | OSError) -> tuple[str, str]:
    if isinstance(error, ThumbnetError):
        return error.kind, str(error)
    place = "" if error.filename is None else f"{error.filename}: "
    return ToolError.kind, f"{place}{error.strerror or error}; give another place or make room"


def positive(text: str) -> int:
    """An argument that is a whole number of at least 1."""
    return _at_least(1, text)


def natural(text: str) -> int:
    """An argument that is a whole number of at least 0."""
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    number = int(text)
    if number < least:
        raise argparse.ArgumentTypeError(f"{text} is less than {least}")
    return number


def amount(text: str) -> float:
    """An argument that is a finite number above 0."""
    number = float(text)
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number
