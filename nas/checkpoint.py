"""Files of weights and of training runs that go on after a kill."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from thumbnet.codegen.errors import DataError
from thumbnet.codegen.files import replacing


def write_checkpoint(file: Path, state: dict[str, Any]) -> None:
    """Writes a checkpoint so that the file is whole or the old one. Raises ToolError."""
    content = io.BytesIO()
    torch.save(state, content)  # to a full disk it would say things that nobody understands
    with replacing(file) as partial:
        partial.write_bytes(content.getbuffer())


def read_checkpoint(
    file: Path, identity: dict[str, Any], device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """The state in `file`. Raises DataError where it cannot be read or is another run's."""
    state = load_file(file, device)
    found = state.get("identity")
    if found != identity:
        known = found if isinstance(found, dict) else {}
        changed = [k for k in {**identity, **known} if known.get(k) != identity.get(k)]
        raise DataError(
            f"{file}: a checkpoint of another run ({', '.join(changed)} differ); remove it or "
            "write to another folder"
        )
    return state


def load_file(file: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """What `write_checkpoint` wrote. Raises DataError."""
    try:
        state = torch.load(file, map_location=device, weights_only=True)
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror}") from error
    except Exception as error:  # torch raises many types, with long texts
        reason = type(error).__name__
        raise DataError(
            f"{file}: is damaged, or no file of weights ({reason}); remove it"
        ) from error
    if not isinstance(state, dict):
        raise DataError(f"{file}: holds no weights; remove it")
    return state
