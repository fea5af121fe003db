"""The keyword network: a few separable convolutions over time and frequency, then along time.

Input [N, 1, columns, bands] (NCHW: height is time), output logits [N, classes]. Nothing pads along
time, so that a stream computes every column once; a residual connection is cut to the columns that
the convolution has left. One stride of 2 along time halves the work of all that follows: a stream
takes two columns a call.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thumbnet.apps.kws.features import BANDS
from thumbnet.nas import architecture as nas
from thumbnet.nas.network import Network, build


@dataclass(frozen=True)
class Separable:
    """A depthwise convolution (time, frequency), then a pointwise one to `channels`."""

    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)  # time, frequency


@dataclass(frozen=True)
class Architecture:
    """`spectral` see time and frequency; one convolution over all of the frequency that is left
    then gives `width` channels, which `temporal` see along time only."""

    stem: int = 12  # channels of the first convolution: 3x5, stride 2 along frequency
    spectral: tuple[Separable, ...] = (
        Separable(16, (3, 3), stride=(2, 2)),
        Separable(24, (3, 3), stride=(1, 2)),
        Separable(24, (3, 3)),
    )
    width: int = 56
    temporal: tuple[Separable, ...] = (
        Separable(56, (5, 1)),
        Separable(56, (5, 1)),
        Separable(56, (5, 1)),
    )


SMALL = Architecture()


class SeparableBlock(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Depthwise, pointwise, and a residual connection where input and output have one shape."""

    def __init__(self, channels: int, layer: Separable) -> None:
        super().__init__()
        time, frequency = layer.kernel
        self.depthwise = nn.Conv2d(
            channels,
            channels,
            layer.kernel,
            stride=layer.stride,
            padding=(0, frequency // 2),
            groups=channels,
            bias=False,
        )
        self.depthwise_norm = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, layer.channels, 1, bias=False)
        self.pointwise_norm = nn.BatchNorm2d(layer.channels)
        self.residual = channels == layer.channels and layer.stride == (1, 1)
        self.lost = time - 1  # columns

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise_norm(self.depthwise(x))
        y = self.pointwise_norm(self.pointwise(y))
        if self.residual:
            y = y + x[:, :, self.lost // 2 : x.shape[2] - (self.lost - self.lost // 2)]
        return torch.relu(y)


class KeywordNetwork(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Columns of one second to logits. A second head, for training, may read `features` too."""

    def __init__(self, classes: int, architecture: Architecture = SMALL, dropout: float = 0.1):
        super().__init__()
        channels = architecture.stem
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        layers["stem"] = _convolution(1, channels, (3, 5), stride=(1, 2), padding=(0, 2))
        bands = (BANDS + 1) // 2
        for i, layer in enumerate(architecture.spectral):
            layers[f"spectral{i}"] = SeparableBlock(channels, layer)
            channels, bands = layer.channels, -(-bands // layer.stride[1])
        layers["spectrum"] = _convolution(channels, architecture.width, (1, bands))
        channels = architecture.width
        for i, layer in enumerate(architecture.temporal):
            layers[f"temporal{i}"] = SeparableBlock(channels, layer)
            channels = layer.channels
        layers["mean"] = nn.AdaptiveAvgPool2d(1)
        layers["flatten"] = nn.Flatten()
        layers["dropout"] = nn.Dropout(dropout)
        self.body = nn.Sequential(layers)
        self.head = nn.Linear(channels, classes)

    def features(self, x: Tensor) -> Tensor:
        """What the dense layer sees, [N, width]."""
        y: Tensor = self.body(x)
        return y

    @property
    def classifier(self) -> nn.Linear:
        return self.head

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.body(x))
        return logits


def make_network(
    classes: int, architecture: Architecture | nas.Architecture, dropout: float = 0.0
) -> KeywordNetwork | Network:
    """A network with fresh weights, made by hand or searched: both have `features` and a dense
    layer `classifier`, and take the same input. A searched architecture has `classes` classes."""
    if isinstance(architecture, nas.Architecture):
        return build(architecture, dropout)
    return KeywordNetwork(classes, architecture, dropout)


def _convolution(
    inputs: int,
    outputs: int,
    kernel: tuple[int, int],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def network_input(columns: Tensor, scale: float, zero_point: int) -> Tensor:
    """What the network takes, float [N, 1, columns, bands], of int8 columns [N, columns, bands]."""
    return (columns.to(torch.float32).unsqueeze(1) - zero_point) * scale
