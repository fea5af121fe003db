"""The float weights of a trained network on disk: an .npz file of its arrays by name."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.errors import ModelFormatError
from thumbnet.codegen.files import replacing


def write_arrays(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """The same arrays give the same bytes. Raises ToolError."""
    with replacing(file) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in sorted(arrays.items()):
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w") as member:
                np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)


def read_arrays(file: Path) -> dict[str, NDArray[Any]]:
    """Raises ModelFormatError where there are none, or one holds what is no finite number."""
    try:
        with np.load(file, allow_pickle=False) as members:
            arrays = {name: members[name] for name in members.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ModelFormatError(f"{file}: cannot read the float weights: {error}") from error
    for name, array in arrays.items():
        if array.dtype.kind not in "fi" or not np.isfinite(array).all():
            raise ModelFormatError(f"{file}: '{name}' holds what is no finite number; train again")
    return arrays
