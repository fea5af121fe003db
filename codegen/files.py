"""Files that are whole or untouched: written under a temporary name beside, then renamed."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from thumbnet.codegen.errors import DataError, ToolError


@contextmanager
def replacing(file: Path) -> Iterator[Path]:
    """A new file beside `file`, of the same suffix, renamed to it at the end; gone where that
    fails. Makes the folder. Raises ToolError where it cannot be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".new-", suffix=file.suffix, dir=file.parent)
    except OSError as error:
        raise ToolError(f"cannot write {file}: {error.strerror}") from error
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.chmod(0o644)
        os.replace(partial, file)
    except (OSError, RuntimeError) as error:  # torch.save raises the latter where there is no room
        raise ToolError(f"cannot write {file}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def write_text(file: Path, text: str) -> None:
    """Raises ToolError."""
    with replacing(file) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def write_json(file: Path, value: Any) -> None:
    """Raises ToolError."""
    write_text(file, json.dumps(value, indent=1) + "\n")


def read_json(file: Path) -> Any:
    """Raises DataError."""
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: no JSON ({error}); remove it and run again") from error
