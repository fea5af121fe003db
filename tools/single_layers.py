"""Graphs on this machine, layer by layer: every layer fed from outside, all run in C."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from thumbnet.codegen.compile import Options, compile_graph
from thumbnet.codegen.graph import Graph, Operator, Tensor
from thumbnet.codegen.host import HostModel
from thumbnet.codegen.passes import drop_dead_operators
from thumbnet.codegen.toolchain import host_library
from thumbnet.tools.arrays import Array

_LAYERS = 8  # compiled as one graph: planning an arena takes longer than in proportion
Values = Mapping[str, Array]  # of tensors, by name, in the graph's shapes and types


@dataclass(frozen=True, eq=False)
class Layer:
    """What computes one tensor from the nearest tensors whose values are known."""

    tensor: str
    operators: tuple[str, ...]  # kinds, in order


def with_outputs(graph: Graph, outputs: Iterable[str]) -> Graph:
    """The same computation, with these tensors as its outputs."""
    names = tuple(outputs)
    return replace(
        graph,
        outputs=names,
        float_outputs=frozenset(),
        output_names={name: f"output_{i}" for i, name in enumerate(names)},
    )


def compiled_for_host(graph: Graph) -> Callable[[Values], dict[str, Array]]:
    """The C of an optimised graph as a function from its inputs' values to its outputs'.

    Inputs and outputs are integers, whatever the source model had. A graph with states keeps them
    from call to call. Raises ThumbnetError.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = Options("host", name="layers")
        manifest = compile_graph(graph, Path(graph.source), Path(folder) / "c", options).manifest
        model = HostModel(host_library(Path(folder) / "c"), manifest)

    def run(values: Values) -> dict[str, Array]:
        raw = []
        for name in graph.inputs:
            tensor, value = graph.tensors[name], values[name]
            assert value.shape == tensor.shape and str(value.dtype) == tensor.dtype, name
            raw.append(np.ascontiguousarray(value).tobytes())
        outputs = model(raw)
        return {
            name: np.frombuffer(data, graph.tensors[name].dtype).reshape(graph.tensors[name].shape)
            for name, data in zip(graph.outputs, outputs, strict=True)
        }

    return run


@dataclass(frozen=True, eq=False)
class TakenApart:
    """A graph cut at the tensors whose values are known: no layer sees another's result.

    `graph` has an input for every known tensor that something reads, and `layers` are its outputs.
    """

    graph: Graph
    layers: tuple[Layer, ...]
    inputs: Mapping[str, str]  # known tensor -> input of `graph`

    def feeds(self, values: Values) -> dict[str, Array]:
        """The inputs of `graph` where the known tensors have these values."""
        return {given: values[name] for name, given in self.inputs.items()}


def taken_apart(graph: Graph, known: Collection[str]) -> TakenApart:
    """Cuts an optimised graph without states at its inputs and the `known` tensors.

    What lies between known tensors is one layer, computed again wherever several layers need it.
    """
    return _Cutting(graph, {*known, *graph.inputs}).result()


def compiled_layers(apart: TakenApart) -> Callable[[Values], dict[str, Array]]:
    """Its C as a function from `feeds` to the values of all layers. Raises ThumbnetError."""
    names = [layer.tensor for layer in apart.layers]
    parts = [_part(apart.graph, names[i : i + _LAYERS]) for i in range(0, len(names), _LAYERS)]
    runs = [compiled_for_host(part) for part in parts]

    def run(feeds: Values) -> dict[str, Array]:
        return {name: value for part in runs for name, value in part(feeds).items()}

    return run


def _part(graph: Graph, outputs: Sequence[str]) -> Graph:
    """What the outputs need of a graph."""
    needed = drop_dead_operators(with_outputs(graph, outputs))
    read = {name for op in needed.operators for name in op.inputs}
    return replace(needed, inputs=tuple(name for name in needed.inputs if name in read))


class _Cutting:
    """State of one graph being cut."""

    def __init__(self, graph: Graph, known: set[str]) -> None:
        self.whole = graph
        self.known = known
        self.producers = {name: op for op in graph.operators for name in op.outputs}
        self.tensors: dict[str, Tensor] = {}
        self.inputs: dict[str, str] = {}
        self.operators: list[Operator] = []

    def result(self) -> TakenApart:
        layers = []
        for name in self.producers:
            if name in self.known:
                start = len(self.operators)
                self.compute(name, name, name)
                kinds = tuple(op.kind for op in self.operators[start:])
                layers.append(Layer(name, kinds))
        inputs = tuple(self.inputs.values())
        apart = replace(
            self.whole,
            tensors=self.tensors,
            operators=tuple(self.operators),
            inputs=inputs,
            float_inputs=frozenset(),
            input_names={name: f"input_{i}" for i, name in enumerate(inputs)},
        )
        graph = with_outputs(apart, (layer.tensor for layer in layers))
        return TakenApart(graph, tuple(layers), self.inputs)

    def compute(self, name: str, output: str, layer: str) -> None:
        """Adds what computes the tensor `name` of the whole graph, as `output`."""
        op = self.producers[name]
        inputs = tuple(self.read(source, layer) for source in op.inputs)
        self.tensors[output] = replace(self.whole.tensors[name], name=output)
        self.operators.append(
            replace(op, name=f"{op.name} of {layer}", inputs=inputs, outputs=(output,))
        )

    def read(self, name: str, layer: str) -> str:
        """What an operator of the layer reads instead of the tensor."""
        if not name:
            return name
        tensor = self.whole.tensors[name]
        if tensor.data is not None:
            read = name
        elif name in self.known:
            read = self.inputs.setdefault(name, f"given({name})")
        else:
            read = f"{name} of {layer}"
            if read not in self.tensors:
                self.compute(name, read, layer)
        self.tensors[read] = replace(tensor, name=read)
        return read
