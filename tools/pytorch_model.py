"""A quantised PyTorch program beside its integer graph, and beside the float model it came from.

Needs torch and torchao. A sample is a tuple of float32 arrays, one for each input of the module, in
the module's own layout (NCHW) with a batch of 1. Values are arrays by the names of the graph's
tensors, in the graph's shapes (NHWC).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torch.utils._pytree import tree_leaves

from thumbnet.codegen.errors import DataError
from thumbnet.codegen.frontends.pytorch.aten import module_path, operator_of
from thumbnet.codegen.frontends.pytorch.canonical import canonicalize
from thumbnet.codegen.frontends.pytorch.capture import capture, example_tensors
from thumbnet.codegen.frontends.pytorch.operators import is_dequantize, is_quantize, origin
from thumbnet.codegen.frontends.pytorch.program import Lowered, lower_program
from thumbnet.codegen.frontends.pytorch.quantize import is_quantized, load
from thumbnet.codegen.frontends.pytorch.values import Recorder, program_values, to_graph
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.passes import optimize
from thumbnet.tools.arrays import Array

Sample = tuple[Array, ...]
_LINEAR_IN_CHANNELS = ("conv1d", "conv2d", "batch_norm")


@dataclass(frozen=True, eq=False)
class Program:
    """A quantised program and what became of it."""

    label: str  # for messages
    lowered: Lowered
    graph: Graph  # optimised

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """As the module has them, batch included."""
        return tuple(layout.shape for layout in self.lowered.inputs)

    @property
    def known(self) -> tuple[str, ...]:
        """Inputs and computed tensors of the graph that hold the values of a node."""
        made = (name for op in self.graph.operators for name in op.outputs)
        return tuple(n for n in (*self.graph.inputs, *made) if n in self.lowered.origins)


def load_program(path: Path) -> Program:
    """The program of a quantised .pt2 file. Raises ThumbnetError."""
    stat = path.stat() if path.is_file() else None
    return _loaded(path, stat and (stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=2)  # one command may ask for it several times
def _loaded(path: Path, version: object) -> Program:
    return program_of(load(path), str(path), path.stem)


def program_of(exported: ExportedProgram, label: str = "program", name: str = "model") -> Program:
    """The same of a program in memory, from `quantize` or `convert`. Raises ThumbnetError."""
    lowered = lower_program(exported, label, name)
    return Program(label, lowered, optimize(lowered.graph))


def float_module(model: torch.nn.Module | ExportedProgram | Path, program: Program) -> GraphModule:
    """The float model that the program was quantised from, as a graph. Raises ThumbnetError."""
    label = str(model) if isinstance(model, Path) else type(model).__name__
    exported = load(model) if isinstance(model, Path) else model
    if isinstance(exported, ExportedProgram):
        if is_quantized(exported):
            raise DataError(f"{label} is quantised, too; give the program of the float model")
        graph = exported.module(check_guards=False)
        assert isinstance(graph, GraphModule)
        return canonicalize(graph)
    examples = example_tensors(tuple(torch.zeros(s) for s in program.input_shapes), label)
    return capture(exported, examples, label, training=False)


# ---- values ------------------------------------------------------------------------------------


def integer_values(program: Program, sample: Sample) -> dict[str, Array]:
    """What the quantised program computes for the `known` tensors, and for the graph's outputs."""
    graph, lowered = program.graph, program.lowered
    values: dict[str, Array] = dict(program_values(lowered, [torch.from_numpy(a) for a in sample]))
    results = outputs_of(lowered.module, sample)
    for name, layout, result in zip(graph.outputs, lowered.outputs, results, strict=True):
        tensor = graph.tensors[name]
        integers = np.rint(to_graph(result, layout) / tensor.scale) + tensor.zero_point
        values[name] = integers.astype(tensor.dtype).reshape(tensor.shape)
    return values


def float_values(
    program: Program, module: GraphModule, nodes: Mapping[str, Node], sample: Sample
) -> dict[str, Array]:
    """What the float model computes for the tensors of `nodes` (from `matching_nodes`)."""
    found, _ = _run(module, sample, set(nodes.values()))
    origins, tensors = program.lowered.origins, program.graph.tensors
    values = {}
    for name, node in nodes.items():
        if found[node].shape != origins[name].layout.shape:
            raise DataError(
                f"{program.label} does not come from this float model: '{name}' is "
                f"{list(origins[name].layout.shape)} here and {list(found[node].shape)} there"
            )
        values[name] = to_graph(found[node], origins[name].layout).reshape(tensors[name].shape)
    return values


def outputs_of(module: GraphModule, sample: Sample) -> list[Array]:
    """The outputs of a graph module, in its own layout."""
    return _run(module, sample, ())[1]


def _run(
    module: GraphModule, sample: Sample, wanted: Collection[Node]
) -> tuple[dict[Node, Array], list[Array]]:
    """The values of the wanted nodes, and the outputs. Raises DataError where torch cannot."""
    recorder = Recorder(module, wanted)
    try:
        with torch.no_grad():
            made = recorder.run(*map(torch.from_numpy, sample))
    except (RuntimeError, AssertionError, TypeError) as error:
        shapes = ", ".join(str(list(array.shape)) for array in sample)
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(
            f"the PyTorch model does not run on inputs of shape {shapes}: {said[:200]}"
        ) from error
    tensors = [result for result in tree_leaves(made) if isinstance(result, torch.Tensor)]
    return recorder.found, [tensor.numpy() for tensor in tensors]


# ---- the float model beside the program ----------------------------------------------------------


def matching_nodes(program: Program, module: GraphModule) -> dict[str, Node]:
    """For known tensors of the graph the node of the float model that computes the same.

    The two graphs are aligned by operators and module paths: quantisation only adds nodes, takes
    batch norms into the layers before them, and makes others convolutions.
    """
    ours, theirs = _computing(program.lowered.module), _computing(module)
    matcher = SequenceMatcher(None, [*map(_key, ours)], [*map(_key, theirs)], autojunk=False)
    partner: dict[Node, Node] = {}
    for block in matcher.get_matching_blocks():
        pairs = zip(ours[block.a :][: block.size], theirs[block.b :][: block.size], strict=True)
        partner.update(pairs)
    taken = set(partner.values())
    nodes = {node.name: node for node in program.lowered.module.graph.nodes}
    found = {}
    for name in program.known:
        match = partner.get(origin(nodes[program.lowered.origins[name].node]))
        if match is not None:
            found[name] = _with_batch_norm(match, taken)
    return found


def _with_batch_norm(node: Node, taken: Collection[Node]) -> Node:
    """The batch norm after a layer, where the program has it in the layer itself."""
    users = list(node.users)
    if len(users) == 1 and operator_of(users[0]) == "batch_norm" and users[0] not in taken:
        return users[0]
    return node


def _computing(module: GraphModule) -> list[Node]:
    """Inputs and operators in order, without what only quantises."""
    return [
        node
        for node in module.graph.nodes
        if node.op in ("placeholder", "call_function")
        and not is_quantize(node)
        and not is_dequantize(node)
    ]


def _key(node: Node) -> tuple[str, str]:
    if node.op == "placeholder":
        return "input", node.name
    name = operator_of(node)
    return "convolution" if name in _LINEAR_IN_CHANNELS else name, module_path(node)
