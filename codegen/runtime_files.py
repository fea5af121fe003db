"""The runtime's headers: where they lie, which of them a model needs, which version they are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

RUNTIME = Path(__file__).resolve().parent.parent / "runtime"
_INCLUDE = re.compile(r'^#include "(tn_\w+\.h)"', re.MULTILINE)


def runtime_files(headers: Iterable[str]) -> dict[str, str]:
    """The text of `headers` and of all they include, by path in the output folder."""
    wanted = ["tn_core.h", *headers]
    found: dict[str, str] = {}
    while wanted:
        header = wanted.pop()
        if f"thumbnet/{header}" not in found:
            text = (RUNTIME / header).read_text(encoding="utf-8")
            found[f"thumbnet/{header}"] = text
            wanted += _INCLUDE.findall(text)
    return dict(sorted(found.items()))


@lru_cache(maxsize=1)
def runtime_version() -> str:
    """Eight hexadecimal digits that tell the text of this runtime from any other's."""
    digest = hashlib.sha256()
    for header in sorted(RUNTIME.glob("*.h")):
        digest.update(header.name.encode() + b"\0" + header.read_bytes() + b"\0")
    return digest.hexdigest()[:8]
