"""Networks that people scale by hand: MobileNetV2 and ResNet-8."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product

import torch
from torch import Tensor, nn

from thumbnet.codegen.cost import cost
from thumbnet.codegen.frontends.pytorch.program import lower_program
from thumbnet.codegen.frontends.pytorch.quantize import quantize
from thumbnet.codegen.passes import simplify
from thumbnet.nas.architecture import Architecture, Bottleneck, Pair, Stem
from thumbnet.nas.cost import Deployment, Limits, NetworkCost, exceeds, network_cost
from thumbnet.nas.experiments.contest import Contender, contender
from thumbnet.nas.network import initialise
from thumbnet.nas.search_space import make_divisible

# Sandler et al., CVPR 2018, table 2: expansion, channels, repeats, stride of the first repeat.
MOBILENET_V2 = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
MOBILENET_V2_STEM, MOBILENET_V2_HEAD = 32, 1280
RESNET_8 = ((16, 1), (32, 2), (64, 2))  # channels and stride of the three blocks (MLPerf Tiny)


def mobilenet_v2(
    width: float,
    resolution: int,
    stem_stride: int,
    first_stride: int,
    classes: int,
    *,
    head: bool = True,
) -> Architecture:
    """MobileNetV2 as people fit it to small images: all channels times `width`, the head too (as in
    MCUNet's mbv2-w0.35) or left out (as in MCUNet), strides of the stem and of the first expanded
    stage chosen."""

    def scaled(channels: int) -> int:
        return make_divisible(channels * width, 8)

    channels, blocks = scaled(MOBILENET_V2_STEM), []
    stem = Stem(channels, (3, 3), (stem_stride, stem_stride))
    for row, (expansion, out, repeats, stride) in enumerate(MOBILENET_V2):
        for repeat in range(repeats):
            step = (first_stride if row == 1 else stride) if repeat == 0 else 1
            expanded = channels * expansion if expansion > 1 else 0
            residual = step == 1 and scaled(out) == channels
            blocks.append(
                Bottleneck(scaled(out), expanded, (3, 3), (step, step), residual=residual)
            )
            channels = scaled(out)
    last = scaled(MOBILENET_V2_HEAD) if head else 0
    return Architecture((resolution, resolution, 3), stem, tuple(blocks), last, classes)


class ResNet8(nn.Module):  # type: ignore[misc]  # torch is not followed
    """MLPerf Tiny's image classifier (Banbury et al., 2021), all channels times `width`, rounded to
    whole ones: [N, 3, H, W] to logits [N, classes]."""

    def __init__(self, width: float, classes: int) -> None:
        super().__init__()
        channels = [max(1, round(c * width)) for c, _ in RESNET_8]
        self.stem = _convolution(3, channels[0])
        blocks, inputs = [], channels[0]
        for outputs, (_, stride) in zip(channels, RESNET_8, strict=True):
            blocks.append(_ResidualBlock(inputs, outputs, (stride, stride)))
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.classifier = nn.Linear(inputs, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        y = self.blocks(torch.relu(self.stem(x)))
        logits: Tensor = self.classifier(y.mean((2, 3)))
        return logits


class _ResidualBlock(nn.Module):  # type: ignore[misc]
    def __init__(self, inputs: int, outputs: int, stride: Pair) -> None:
        super().__init__()
        self.first = _convolution(inputs, outputs, stride=stride)
        self.second = _convolution(outputs, outputs)
        same = inputs == outputs and stride == (1, 1)
        self.skip = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = self.second(torch.relu(self.first(x)))
        return torch.relu(y + self.skip(x))


def _convolution(inputs: int, outputs: int, *, stride: Pair = (1, 1)) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
    )


# ---- the largest that fit ----------------------------------------------------------------------


def scaled_mobilenets(limits: Limits, deployment: Deployment, classes: int) -> Iterator[Contender]:
    """For each usual choice of strides, resolution and head, the widest that fits, if any does."""
    for strides, resolution, head in product(((1, 1), (2, 1), (2, 2)), (32, 24), (True, False)):
        widest = None
        for percent in range(5, 105, 5):
            made = mobilenet_v2(percent / 100, resolution, *strides, classes, head=head)
            told = network_cost(made, deployment, limits)
            if exceeds(told, limits) is not None:
                break
            name = f"mobilenet_v2-w{percent / 100:g}-r{resolution}-s{strides[0]}{strides[1]}"
            widest = contender(name + ("" if head else "-headless"), made, told)
        if widest is not None:
            yield widest


def scaled_resnet(limits: Limits, deployment: Deployment, classes: int) -> Contender | None:
    """The widest ResNet-8 that fits, by sixteenths: one more channel in the first block."""
    widest = None
    for channels in range(1, 17):
        width = channels / 16
        told = resnet_cost(width, deployment, limits, classes)
        if exceeds(told, limits) is not None:
            break
        make = partial(ResNet8, width, classes)
        widest = Contender(f"resnet8-w{width:g}", (32, 32, 3), told, make)
    return widest


def resnet_cost(width: float, deployment: Deployment, limits: Limits, classes: int) -> NetworkCost:
    """Asked of the planner like that of any other network."""
    torch.manual_seed(0)
    network = ResNet8(width, classes).eval()
    images = torch.randn(4, 3, 32, 32)
    program = quantize(network, (images[:1],), [(images,)], input_quantization={"x": (1 / 64, 0)})
    graph = simplify(lower_program(program, "resnet8", "resnet8").graph)
    options = deployment.options(limits)
    told = cost(graph, options.target, options.optimize, options.mode)
    return NetworkCost(
        macs=told.macs,
        params=sum(p.numel() for p in network.parameters()),
        arena_bytes=told.arena_bytes,
        weights_bytes=told.weights_bytes,
        code_bytes=told.code_bytes or 0,
        cycles=told.cycles,
    )
