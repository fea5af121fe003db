"""Packages that only some commands need."""

from __future__ import annotations

from importlib.util import find_spec

from thumbnet.codegen.errors import ToolError


def needs(what: str, *packages: str) -> None:
    """Raises ToolError where one is not installed."""
    missing = [package for package in packages if not find_spec(package)]
    if missing:
        raise ToolError(f"{what} needs {', '.join(missing)}: pip install 'thumbnet[apps]'")
