"""From a trained float network to int8: calibrated, quantised, written as .tflite."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from thumbnet.apps.face_unlock.model_files import NAME, SCALE, ZERO_POINT
from thumbnet.apps.face_unlock.network import network_input
from thumbnet.codegen.frontends.pytorch.program import lower_program
from thumbnet.codegen.frontends.pytorch.quantize import quantize
from thumbnet.codegen.frontends.tflite_writer import write_tflite
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.passes import simplify

_BATCH = 64


def int8_graph(network: nn.Module, calibration: NDArray[np.int8]) -> Graph:
    """The network as an integer graph: input [1, size, size, 1], grey - 128; output the embedding
    [1, dimensions]. `calibration` [n, size, size] is what the ranges of its tensors are taken from.
    Raises ThumbnetError."""
    side = calibration.shape[1]
    batches = (
        (network_input(torch.from_numpy(calibration[i : i + _BATCH])),)
        for i in range(0, len(calibration), _BATCH)
    )
    program = quantize(
        network.eval(),
        (torch.zeros(1, 1, side, side),),
        batches,
        input_quantization={"picture": (SCALE, ZERO_POINT)},
    )
    graph = simplify(lower_program(program, NAME, NAME).graph)
    return replace(graph, float_inputs=frozenset(), float_outputs=frozenset())


def int8_tflite(network: nn.Module, calibration: NDArray[np.int8]) -> bytes:
    """The same as a .tflite file."""
    return write_tflite(int8_graph(network, calibration))
