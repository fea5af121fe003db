"""The embedding network: a face's picture to a point of a space in which a person's faces are near.

Input [N, 1, size, size] (NCHW, grey from -1 to 1), output embeddings [N, dimensions], which are
compared by their cosine. Plain 3x3 convolutions: the kernels need little more than a cycle for a
multiply-accumulate of theirs, and rows stream through, so that neither the picture nor a layer's
output is ever whole in SRAM. Instead of a mean over the picture, a depthwise convolution of what is
left of it weighs its places, as in MobileFaceNet (Chen et al., CCBR 2018, section 3.1): a face's
corners say less than its middle.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thumbnet.apps.face_unlock.model_files import SCALE, ZERO_POINT
from thumbnet.codegen.errors import ModelFormatError


@dataclass(frozen=True)
class Stage:
    """A convolution that halves the picture, to `channels`; then, with `middle`, a residual block:
    a 3x3 to `middle` channels and a 1x1 back."""

    channels: int
    middle: int = 0


@dataclass(frozen=True)
class Architecture:
    """`head` channels weigh the places; all stages halve the picture, rounding up."""

    size: int = 64
    stages: tuple[Stage, ...] = (Stage(16), Stage(32, 32), Stage(56, 48), Stage(72, 56))
    head: int = 160
    dimensions: int = 64

    @property
    def left(self) -> int:
        """Side of the picture after all stages."""
        side = self.size
        for _ in self.stages:
            side = -(-side // 2)
        return side


SMALL = Architecture()
LARGE = Architecture(  # to teach it
    stages=(Stage(32), Stage(64, 64), Stage(96, 96), Stage(128, 128)), head=256, dimensions=128
)


def architecture_from(entry: Mapping[str, Any], source: Path) -> Architecture:
    """The architecture of face.json. ModelFormatError, naming `source`, where it is none."""
    try:
        stages = tuple(Stage(**stage) for stage in entry["stages"])
        return Architecture(**{**entry, "stages": stages})
    except (TypeError, KeyError) as error:
        raise ModelFormatError(f"{source}: no architecture of a face network: {error}") from error


class Residual(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Adds to its input what a 3x3 and a 1x1 convolution make of it."""

    def __init__(self, channels: int, middle: int) -> None:
        super().__init__()
        self.expand = _convolution(channels, middle, 3)
        self.project = nn.Sequential(
            nn.Conv2d(middle, channels, 1, bias=False), nn.BatchNorm2d(channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = x + self.project(self.expand(x))
        return y


class FaceNetwork(nn.Module):  # type: ignore[misc]
    """See above. `dropout` is the probability before the dense layer, in training."""

    def __init__(self, architecture: Architecture, dropout: float = 0.0) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels = 1
        for i, stage in enumerate(architecture.stages):
            layers[f"halve{i}"] = _convolution(channels, stage.channels, 3, stride=2)
            channels = stage.channels
            if stage.middle:
                layers[f"residual{i}"] = Residual(channels, stage.middle)
        head = architecture.head
        layers["head"] = _convolution(channels, head, 1)
        layers["places"] = nn.Sequential(
            nn.Conv2d(head, head, architecture.left, groups=head, bias=False), nn.BatchNorm2d(head)
        )
        layers["flatten"] = nn.Flatten()
        layers["dropout"] = nn.Dropout(dropout)
        layers["dense"] = nn.Linear(head, architecture.dimensions, bias=False)
        layers["norm"] = nn.BatchNorm1d(architecture.dimensions)
        self.body = nn.Sequential(layers)

    def forward(self, picture: Tensor) -> Tensor:
        embeddings: Tensor = self.body(picture)
        return embeddings


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def network_input(pictures: Tensor) -> Tensor:
    """What the network takes, float [N, 1, size, size], of int8 pictures [N, size, size]."""
    return (pictures.to(torch.float32).unsqueeze(1) - ZERO_POINT) * SCALE


def embeddings(
    network: nn.Module, pictures: NDArray[np.int8], batch: int = 256
) -> NDArray[np.float32]:
    """Outputs [n, dimensions] of a float network in evaluation mode, for int8 pictures [n, ...]."""
    network.eval()
    with torch.no_grad():
        parts = [
            network(network_input(torch.from_numpy(pictures[i : i + batch])))
            for i in range(0, len(pictures), batch)
        ]
    return torch.cat(parts).numpy()


def load_network(
    architecture: Architecture, weights: Mapping[str, NDArray[Any]], source: Path
) -> FaceNetwork:
    """The float network with weights that were stored. ModelFormatError, naming `source`, where
    they are another network's."""
    network = FaceNetwork(architecture)
    try:
        network.load_state_dict({name: torch.from_numpy(a) for name, a in weights.items()})
    except RuntimeError as error:
        raise ModelFormatError(f"{source}: weights of another network: {error}") from error
    return network.eval()
