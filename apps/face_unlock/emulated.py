"""The embedding network on an emulated board, or a real one behind a port. It stands at the edge,
beside the commands: it is all that looks from here into `tools`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.face_unlock.model_files import picture_size
from thumbnet.codegen.compile import Options
from thumbnet.codegen.errors import DataError
from thumbnet.tools.session import open_session, place_named, run_calls


def board_outputs(model: Path, pictures: NDArray[np.int8], on: str) -> NDArray[np.int8]:
    """What the network says on `on`, [n, dimensions], of int8 pictures [n, size, size], which are
    fed row by row. Raises ThumbnetError."""
    session = open_session(model, place_named(on), Options(input="rows"))
    size = picture_size(session.manifest, model)
    if pictures.shape[1:] != (size, size):
        raise DataError(f"{model} takes pictures of {size}x{size}, not {list(pictures.shape[1:])}")
    calls = [[picture.reshape(1, size, size, 1)] for picture in pictures]
    return np.stack([call[0].ravel() for call in run_calls(session, calls, meter=False).outputs])
