"""Writing a folder so that it is whole or untouched: staged beside its place, then renamed in."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from thumbnet.codegen.errors import DataError, ToolError
from thumbnet.codegen.manifest import FILE_NAME, read_manifest


@contextmanager
def staging_folder(out_dir: Path) -> Iterator[Path]:
    """A fresh folder beside `out_dir`, gone at the end. Raises ToolError where it cannot write."""
    if out_dir.exists() and not out_dir.is_dir():
        raise ToolError(f"{out_dir} is a file; give a folder to write into")
    parent = out_dir.resolve().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".thumbnet-", dir=parent))
    except OSError as error:
        raise ToolError(f"cannot write below {parent}: {error.strerror}") from error
    try:
        yield staging
    except OSError as error:
        raise ToolError(f"cannot write below {parent}: {error.strerror}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def publish(staging: Path, out_dir: Path) -> tuple[str, ...]:
    """Moves every file of `staging` into `out_dir` by rename, the manifest last; gives their names.

    Files that an earlier compile wrote there and that are no longer needed go.
    """
    files = sorted(str(f.relative_to(staging)) for f in staging.rglob("*") if f.is_file())
    stale = _earlier_files(out_dir) - set(files)
    for file in sorted(files, key=lambda f: f == FILE_NAME):
        destination = out_dir / file
        destination.parent.mkdir(parents=True, exist_ok=True)
        os.replace(staging / file, destination)
    for file in stale:
        (out_dir / file).unlink(missing_ok=True)
    return tuple(files)


def _earlier_files(out_dir: Path) -> set[str]:
    try:
        manifest = read_manifest(out_dir)
    except DataError:
        return set()
    files = {*manifest.sources, *manifest.headers, *manifest.packaging}
    return {file for file in files if not Path(file).is_absolute() and ".." not in Path(file).parts}
