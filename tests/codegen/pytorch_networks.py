"""Networks as their users write them in plain torch.nn, with random weights that are alive."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def _divisible(value: float, by: int = 8) -> int:
    rounded = max(by, int(value + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * value else rounded


class ConvNormActivation(nn.Sequential):
    def __init__(self, cin: int, cout: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(cin, cout, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False),
            nn.BatchNorm2d(cout),
            nn.ReLU6(inplace=True),
        )


class InvertedResidual(nn.Module):
    def __init__(self, cin: int, cout: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = cin * expand
        layers: list[nn.Module] = []
        if expand != 1:
            layers.append(ConvNormActivation(cin, hidden, 1))
        layers += [
            ConvNormActivation(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, cout, 1, bias=False),
            nn.BatchNorm2d(cout),
        ]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    """As torchvision's, for images of 96 pixels (Sandler et al., CVPR 2018)."""

    def __init__(self, width: float = 0.35, classes: int = 10) -> None:
        super().__init__()
        settings = (
            (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2),
            (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
        )  # fmt: skip
        channels = _divisible(32 * width)
        features: list[nn.Module] = [ConvNormActivation(3, channels, 3, 2)]
        for expand, c, count, stride in settings:
            for i in range(count):
                out = _divisible(c * width)
                features.append(InvertedResidual(channels, out, stride if i == 0 else 1, expand))
                channels = out
        last = _divisible(1280 * max(1.0, width))
        features.append(ConvNormActivation(channels, last, 1))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        x = nn.functional.adaptive_avg_pool2d(x, (1, 1))
        return self.classifier(torch.flatten(x, 1))


class ResNetBlock(nn.Module):
    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.shortcut = nn.Conv2d(cin, cout, 1, stride) if stride != 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet8(nn.Module):
    """The network of MLPerf Tiny's image classification, for images of 32 pixels."""

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        )
        self.blocks = nn.Sequential(
            ResNetBlock(16, 16, 1), ResNetBlock(16, 32, 2), ResNetBlock(32, 64, 2)
        )
        self.pool = nn.AvgPool2d(8)
        self.head = nn.Linear(64, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.blocks(self.stem(x)))
        return torch.softmax(self.head(x.view(x.size(0), -1)), dim=1)


class DepthwiseSeparable(nn.Module):
    """A keyword network over [N, 40, T, 1]: temporal convolutions without padding."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 40
        for width in (32, 32):
            layers += [
                nn.Conv2d(channels, channels, (5, 1), groups=channels, bias=False),
                nn.BatchNorm2d(channels), nn.ReLU(),
                nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            ]  # fmt: skip
            channels = width
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(channels, 12)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x).mean((2, 3)))


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)
        self.relu, self.gate = nn.ReLU(inplace=True), nn.Hardsigmoid(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.fc2(self.relu(self.fc1(self.pool(x)))))


class FaceLike(nn.Module):
    """What MobileFaceNet and MobileNetV3 add: PReLU, squeeze-and-excite, hard-swish, a global
    depthwise convolution, a batch norm after the dense layer, a normalised embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.PReLU(8))
        self.wide = nn.Sequential(nn.Conv2d(8, 16, 1, bias=False), nn.BatchNorm2d(16))
        self.act, self.se = nn.Hardswish(inplace=True), SqueezeExcite(16)
        self.branch = nn.Conv2d(16, 8, 3, padding=1, groups=2)
        self.whole = nn.Conv2d(24, 24, 7, groups=24, bias=False)
        self.embed, self.norm = nn.Linear(24, 16, bias=False), nn.BatchNorm1d(16, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.se(self.act(self.wide(self.stem(x))))
        x = nn.functional.max_pool2d(torch.cat([x, self.branch(x)], 1), 2)
        x = self.norm(self.embed(self.whole(x).flatten(1)))
        return nn.functional.normalize(x)


def enlivened(module: nn.Module, shape: tuple[int, ...], seed: int = 0) -> nn.Module:
    """Random batch norms whose statistics are those of random inputs [N, *shape], as training
    leaves them, so that the signal lives up to the output; all from a seed; in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    norms = [m for m in module.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    with torch.no_grad():
        for m in norms:
            m.momentum = None  # the mean over all batches
            if m.affine:
                m.weight.uniform_(0.7, 1.6, generator=generator)
                m.bias.normal_(0, 0.3, generator=generator)
        module.train()
        for _ in range(2):
            module(torch.randn(16, *shape, generator=generator))
    for m in norms:
        m.momentum = 0.1
    return module.eval()
