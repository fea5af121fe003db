"""The plain `nn.Module` of an architecture: what is trained, exported and compiled."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from thumbnet.nas.architecture import Architecture, Bottleneck, Pair

ACTIVATION = {"relu": nn.ReLU, "relu6": nn.ReLU6}


def build(architecture: Architecture, dropout: float = 0.0) -> Network:
    """A network with fresh weights: float [N, C, H, W] to logits [N, classes]. `dropout` is the
    probability before the dense layer, in training."""
    return Network(architecture, dropout)


class Network(nn.Module):  # type: ignore[misc]  # torch is not followed
    """`stem`, `blocks`, `head`, `classifier`; parameters are named as in `super_network`, which
    fills them with a sub-network's weights."""

    def __init__(self, architecture: Architecture, dropout: float = 0.0) -> None:
        super().__init__()
        self.architecture = architecture
        stem = architecture.stem
        activation = architecture.activation
        self.stem = _convolution(
            architecture.input_shape[2],
            stem.channels,
            stem.kernel,
            stem.stride,
            architecture.padding(stem),
            activation=activation,
        )
        channels, blocks = stem.channels, []
        for block in architecture.blocks:
            padding = architecture.padding(block)
            blocks.append(InvertedBottleneck(channels, block, padding, activation))
            channels = block.channels
        self.blocks = nn.Sequential(*blocks)
        self.head = (
            _convolution(channels, architecture.head, activation=activation)
            if architecture.head
            else nn.Identity()
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(architecture.head or channels, architecture.classes)
        initialise(self)

    def features(self, x: Tensor) -> Tensor:
        """What the dense layer sees, [N, channels]."""
        y: Tensor = self.dropout(self.flatten(self.pool(self.head(self.blocks(self.stem(x))))))
        return y

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x))
        return logits


class InvertedBottleneck(nn.Module):  # type: ignore[misc]
    """See `architecture.Bottleneck`."""

    def __init__(self, channels: int, block: Bottleneck, padding: Pair, activation: str) -> None:
        super().__init__()
        middle = block.expanded or channels
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        self.residual = block.residual
        self.lost = block.kernel[0] - 1 - 2 * padding[0]  # rows
        if block.fused:
            layers["fused"] = _convolution(
                channels, block.channels, block.kernel, block.stride, padding, activation=activation
            )
            self.layers = nn.Sequential(layers)
            return
        if block.expanded:
            layers["expand"] = _convolution(channels, middle, activation=activation)
        layers["depthwise"] = _convolution(
            middle,
            middle,
            block.kernel,
            block.stride,
            padding,
            groups=middle,
            activation=activation,
        )
        if block.squeeze:
            layers["excite"] = SqueezeExcite(middle, block.squeeze)
        layers["project"] = _convolution(middle, block.channels, activation=None)
        self.layers = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return y + cut_rows(x, self.lost) if self.residual else y


class SqueezeExcite(nn.Module):  # type: ignore[misc]
    """Channels times a factor from 0 to 1 that two 1x1 convolutions compute of their means; the
    gate is MobileNetV3's hard sigmoid (Howard et al., ICCV 2019)."""

    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeeze, 1)
        self.expand = nn.Conv2d(squeeze, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.relu(self.reduce(x.mean((2, 3), keepdim=True)))
        return x * nn.functional.hardsigmoid(self.expand(gate))


def cut_rows(x: Tensor, lost: int) -> Tensor:
    """`x` [N, C, H, W] without `lost` rows, half of them at each end (the odd one at the last)."""
    return x[:, :, lost // 2 : x.shape[2] - (lost - lost // 2)] if lost else x


def initialise(network: nn.Module) -> None:
    """He's initialisation for convolutions (He et al., ICCV 2015, fan out); a small dense layer."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            nn.init.zeros_(module.bias)


def _convolution(
    inputs: int,
    outputs: int,
    kernel: Pair = (1, 1),
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    *,
    groups: int = 1,
    activation: str | None,
) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["convolution"] = nn.Conv2d(
        inputs, outputs, kernel, stride, padding, groups=groups, bias=False
    )
    layers["norm"] = nn.BatchNorm2d(outputs)
    if activation is not None:
        layers["activation"] = ACTIVATION[activation]()
    return nn.Sequential(layers)
