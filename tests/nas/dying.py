"""A stand-in for what a process of an oracle computes; it needs no torch to be imported."""

from __future__ import annotations

import os
from typing import NoReturn


def die(*_: object) -> NoReturn:
    """Ends the process at once, as the kernel does where memory is short."""
    os._exit(3)
