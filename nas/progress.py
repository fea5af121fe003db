"""How long work says it will still take."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]  # shows one line of what is going on


def duration(seconds: float) -> str:
    """'45 s', '12 min' or '3.4 h'."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
