"""What others make of the same pictures: eigenfaces, local binary patterns, MobileFaceNet."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage.feature import local_binary_pattern
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import additive_chi2_kernel

from thumbnet.apps.face_unlock.dataset import Identity, read_colour
from thumbnet.apps.face_unlock.verification import cosines
from thumbnet.codegen.build_cache import default_work_dir
from thumbnet.codegen.compile import Options, compile_model
from thumbnet.codegen.errors import ModelFormatError
from thumbnet.codegen.host import HostModel
from thumbnet.codegen.toolchain import host_library

_COMPONENTS = 128
_CELLS = 8  # of a picture, along each side
_NEIGHBOURS = 8
_PATTERNS = _NEIGHBOURS + 2  # uniform ones, and all others


def eigenfaces(learnt: NDArray[np.uint8], pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scores [n, n] of uint8 pictures [n, side, side]: the cosine of their whitened components
    (Turk and Pentland, 1991), learnt from other pictures of the same side."""
    count = min(_COMPONENTS, len(learnt) - 1)
    components = PCA(count, whiten=True, random_state=0).fit(_flat(learnt))
    return cosines(components.transform(_flat(pictures)))


def _flat(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Pictures as vectors, each of mean 0 and deviation 1."""
    vectors = pictures.reshape(len(pictures), -1).astype(np.float32)
    vectors -= vectors.mean(1, keepdims=True)
    return vectors / np.maximum(vectors.std(1, keepdims=True), 1)


def binary_patterns(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scores [n, n]: minus the chi-square distance of histograms of uniform local binary patterns
    in the cells of a grid (Ahonen, Hadid and Pietikäinen, 2006)."""
    scores: NDArray[np.float32] = additive_chi2_kernel(np.stack([_histograms(p) for p in pictures]))
    return scores


def _histograms(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    patterns = local_binary_pattern(picture, _NEIGHBOURS, 1, "uniform").astype(int)
    cells = [
        np.bincount(cell.ravel(), minlength=_PATTERNS) / cell.size
        for band in np.array_split(patterns, _CELLS)
        for cell in np.array_split(band, _CELLS, axis=1)
    ]
    return np.concatenate(cells).astype(np.float32)


class MobileFaceNet:
    """An int8 network that takes colour faces of 112x112, compiled for this machine. Raises
    ModelFormatError where the file is none."""

    def __init__(self, model: Path) -> None:
        try:
            digest = hashlib.sha256(model.read_bytes()).hexdigest()[:16]
        except OSError as error:
            raise ModelFormatError(f"{model}: cannot read it: {error}") from error
        folder = default_work_dir() / "face_unlock" / digest
        options = Options(target="host", optimize="latency")
        self._manifest = compile_model(model, folder, options).manifest
        source = self._manifest.inputs[0]
        if source.dtype != "int8" or len(source.shape) != 4 or source.shape[3] != 3:
            raise ModelFormatError(
                f"{model}: its input is {source.dtype} {list(source.shape)}; int8 [1, side, side, "
                "3] is expected of a MobileFaceNet"
            )
        self._side, self._zero_point = source.shape[1], source.zero_point
        self._run = HostModel(host_library(folder), self._manifest)

    def scores(self, identities: Sequence[Identity]) -> NDArray[np.float32]:
        """Scores [n, n] of all pictures, whole: colour, made square by going on with the border."""
        said = [self._outputs(path) for identity in identities for path in identity.paths]
        return cosines(np.stack(said))

    def _outputs(self, path: Path) -> NDArray[Any]:
        square = _square(read_colour(path))
        resized = Image.fromarray(square).resize((self._side, self._side), Image.Resampling.BOX)
        values = np.asarray(resized, np.int16) + self._zero_point
        output = self._manifest.outputs[0]
        data = self._run([values.astype(np.int8).tobytes()])[0]
        return np.frombuffer(data, output.dtype).astype(np.int16) - output.zero_point


def _square(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = picture.shape[:2]
    side = max(height, width)
    down, across = side - height, side - width
    around = ((down // 2, down - down // 2), (across // 2, across - across // 2), (0, 0))
    return np.pad(picture, around, mode="edge")
