"""PyTorch models of nearly every operator, trained a little, and their int8 programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torchao", reason="needs torch and torchao")

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from thumbnet.codegen.frontends.pytorch.quantize import quantize, save
from thumbnet.tools.pytorch_model import (
    Program,
    Sample,
    program_of,
)


class Everything(nn.Module):
    """Nearly every operator that the front end lowers, on small images."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish()
        )
        self.depthwise = nn.Sequential(
            nn.Conv2d(16, 16, 5, padding=2, groups=16, bias=False), nn.BatchNorm2d(16), nn.ReLU6()
        )
        self.squeeze, self.excite = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)
        self.prelu, self.leaky, self.silu = nn.PReLU(16), nn.LeakyReLU(0.1), nn.SiLU()
        self.norm = nn.BatchNorm2d(32)
        self.classes = nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.depthwise(x)
        gate = F.hardsigmoid(self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1)))))
        x = self.prelu(x + y * gate)
        a, b = x.chunk(2, 1)
        z = self.silu(torch.cat([self.leaky(x), torch.tanh(a), torch.sigmoid(b)], 1))
        z = self.norm(z)
        z = F.avg_pool2d(z, 2) + F.max_pool2d(z, 2)
        z = F.interpolate(z, scale_factor=2, mode="bilinear")
        z = torch.abs(z - 0.5 * F.interpolate(F.max_pool2d(z, 2), scale_factor=2))
        z = torch.minimum(torch.maximum(z, z * 0.3), z + 0.1)
        return F.softmax(self.classes(F.normalize(z.mean((2, 3)))), -1)


SHAPE = (3, 24, 20)


def trained(module: nn.Module, shape: tuple[int, ...]) -> nn.Module:
    """With batch norms that have seen data."""
    module.train()
    with torch.no_grad():
        for _ in range(4):
            module(torch.randn(8, *shape))
    return module.eval()


def pair(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> tuple[nn.Module, Program]:
    torch.manual_seed(3)
    module = trained(make(), shape)
    return module, program_of(quantize(module, torch.randn(1, *shape), [torch.randn(32, *shape)]))


def drawn_samples(shape: tuple[int, ...], count: int) -> list[Sample]:
    random = np.random.default_rng(5)
    return [(random.normal(size=(1, *shape)).astype(np.float32),) for _ in range(count)]


def write_files(folder: Path) -> Path:
    """`folder` with model.pt2, float.pt2, inputs.npy and data.npz, whose labels are the float
    model's."""
    torch.manual_seed(3)
    module = trained(Everything(), SHAPE)
    inputs = torch.randn(40, *SHAPE)
    save(quantize(module, inputs[:1], [inputs]), folder / "model.pt2")
    torch.export.save(torch.export.export(module, (inputs[:1],)), folder / "float.pt2")
    with torch.no_grad():
        labels = module(inputs).argmax(1).numpy()
    np.savez(folder / "data.npz", inputs=inputs.numpy(), labels=labels)
    np.save(folder / "inputs.npy", inputs.numpy())
    return folder
