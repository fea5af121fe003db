"""From a trained float network to int8: calibrated, quantised, written as .tflite."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thumbnet.apps.kws.features import BANDS, COLUMNS, SCALE, ZERO_POINT
from thumbnet.apps.kws.model_files import NAME
from thumbnet.apps.kws.network import network_input
from thumbnet.codegen.frontends.pytorch.program import lower_program
from thumbnet.codegen.frontends.pytorch.quantize import quantize
from thumbnet.codegen.frontends.tflite_writer import write_tflite
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.passes import simplify

_BATCH = 64


class _Deployed(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """With probabilities for outputs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, columns: Tensor) -> Tensor:
        return torch.softmax(self.network(columns), dim=1)


def int8_graph(network: nn.Module, calibration: NDArray[np.int8]) -> Graph:
    """The network as an integer graph: input [1, COLUMNS, BANDS, 1] with the front end's scale and
    zero point, output the probabilities [1, classes]. `calibration` [n, COLUMNS, BANDS] is what the
    ranges of its tensors are taken from. Raises ThumbnetError."""
    example = torch.zeros(1, 1, COLUMNS, BANDS)
    batches = (
        (network_input(torch.from_numpy(calibration[i : i + _BATCH]), SCALE, ZERO_POINT),)
        for i in range(0, len(calibration), _BATCH)
    )
    program = quantize(
        _Deployed(network).eval(),
        (example,),
        batches,
        input_quantization={"columns": (SCALE, ZERO_POINT)},
    )
    graph = simplify(lower_program(program, NAME, NAME).graph)
    return replace(graph, float_inputs=frozenset(), float_outputs=frozenset())


def int8_tflite(network: nn.Module, calibration: NDArray[np.int8]) -> bytes:
    """The same as a .tflite file."""
    return write_tflite(int8_graph(network, calibration))
