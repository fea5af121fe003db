"""report.html of a search."""

from __future__ import annotations

from pathlib import Path

from thumbnet.nas.search_plan import Folder


def write_report(folder: Folder, place: Path) -> None:
    """Stub."""
