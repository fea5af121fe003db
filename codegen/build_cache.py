"""Keeps what is built: a folder for each build, under the hash of all that went into it.

Results appear by renaming a finished folder, so several processes may build at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from thumbnet.codegen.errors import ToolError


def default_work_dir() -> Path:
    """`build/thumbnet` below the current folder, or a private temporary folder."""
    local = Path("build") / "thumbnet"
    with contextlib.suppress(OSError):
        local.mkdir(parents=True, exist_ok=True)
        if os.access(local, os.W_OK):
            return local.resolve()
    shared = Path(tempfile.gettempdir()) / f"thumbnet-{os.getuid()}"
    with contextlib.suppress(OSError):
        shared.mkdir(mode=0o700, exist_ok=True)
        if shared.stat().st_uid == os.getuid():
            return shared
    return Path(tempfile.mkdtemp(prefix="thumbnet-"))


def cached(
    work_dir: Path | None,
    kind: str,
    key: Iterable[str | bytes | Path],
    build: Callable[[Path], None],
) -> Path:
    """The folder that `build(folder)` fills, made once for each key (paths count by content)."""
    root = (work_dir or default_work_dir()).resolve()
    digest = hashlib.sha256(kind.encode())
    for part in key:
        content = part.read_bytes() if isinstance(part, Path) else part
        content = content.encode() if isinstance(content, str) else content
        digest.update(b"%d:" % len(content))
        digest.update(content)
    final = root / f"{kind}-{digest.hexdigest()[:24]}"
    if final.is_dir():
        return final
    try:
        root.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=f".{kind}-", dir=root))
    except OSError as error:
        raise ToolError(f"cannot write to the build folder {root}: {error.strerror}") from error
    try:
        build(fresh)
        try:
            fresh.rename(final)
        except OSError:
            if not final.is_dir():  # else another process was first: its result is the same
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return final
