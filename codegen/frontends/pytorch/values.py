"""What the quantised program itself computes, in the integers and the layout of the graph.

With it the graph can be compared with PyTorch layer by layer, each fed the program's own values.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.fx import GraphModule, Interpreter, Node

from thumbnet.codegen.frontends.pytorch.layout import Layout
from thumbnet.codegen.frontends.pytorch.program import Lowered

Integers = NDArray[np.int8]


def program_values(lowered: Lowered, inputs: Sequence[torch.Tensor]) -> dict[str, Integers]:
    """The program's integers of every tensor of `lowered.origins`, for one call.

    `inputs` are float, shaped as PyTorch has them. A tensor that the passes took out of the graph
    is here all the same.
    """
    nodes = {node.name: node for node in lowered.module.graph.nodes}
    seen = Recorder(lowered.module, {nodes[origin.node] for origin in lowered.origins.values()})
    with torch.no_grad():
        seen.run(*inputs)
    found = {}
    for name, origin in lowered.origins.items():
        tensor = lowered.graph.tensors[name]
        value = to_graph(seen.found[nodes[origin.node]], origin.layout)
        if value.dtype != np.int8:
            scaled = np.rint(value.astype(np.float64) / float(tensor.scale)) + tensor.zero_point
            value = np.clip(scaled, -128, 127).astype(np.int8)
        found[name] = value.reshape(tensor.shape)
    return found


def to_graph(array: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """PyTorch's elements in the order in which the graph has them (images: NHWC), as one axis."""
    flat = [atom for dim in layout.dims for atom in dim]
    cut = array.reshape([layout.sizes[a] for a in flat])
    return np.ascontiguousarray(cut.transpose([flat.index(a) for a in layout.memory])).reshape(-1)


def from_graph(array: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """The graph's elements as an array of PyTorch's shape."""
    flat = [atom for dim in layout.dims for atom in dim]
    cut = array.reshape([layout.sizes[a] for a in layout.memory])
    moved = cut.transpose([layout.memory.index(a) for a in flat])
    return np.ascontiguousarray(moved).reshape(layout.shape)


class Recorder(Interpreter):  # type: ignore[misc]  # torch is not followed
    """Runs a graph and keeps what some of its nodes gave."""

    def __init__(self, module: GraphModule, wanted: Collection[Node]) -> None:
        super().__init__(module)
        self.wanted = wanted
        self.found: dict[Node, NDArray[Any]] = {}

    def run_node(self, n: Node) -> Any:
        result = super().run_node(n)
        if n in self.wanted:
            self.found[n] = result.detach().numpy().copy()
        return result
