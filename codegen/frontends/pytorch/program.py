"""A quantised torch.export program becomes a `Graph`.

The program says what is computed in float between `dequantize` and `quantize`; each such stretch is
one operator of the graph (with its batch norm and clamp), in integers. Images lie as NHWC.
"""

from __future__ import annotations

import operator as python_operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torch.utils._pytree import tree_leaves

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.frontends.pytorch import lower_arithmetic as arithmetic
from thumbnet.codegen.frontends.pytorch import lower_convolution as convolution
from thumbnet.codegen.frontends.pytorch import lower_window as window
from thumbnet.codegen.frontends.pytorch.aten import (
    arguments_of,
    describe,
    operator_of,
    shape_of_node,
)
from thumbnet.codegen.frontends.pytorch.builder import Builder, Constant, Step, Value, step_of
from thumbnet.codegen.frontends.pytorch.canonical import canonicalize, spell_out_batch_norms
from thumbnet.codegen.frontends.pytorch.layout import (
    IMAGE_1D,
    Form,
    Layout,
    form_of,
    has_form,
    layout_of,
    natural,
    usual,
)
from thumbnet.codegen.frontends.pytorch.lower_movement import (
    MOVEMENTS,
    lower_concatenation,
    lower_item,
    lower_pad,
)
from thumbnet.codegen.frontends.pytorch.operators import (
    NOTHING,
    Role,
    activation_of,
    check_supported,
    is_dequantize,
    is_quantize,
    role_of,
)
from thumbnet.codegen.frontends.tflite import c_identifier
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.validate import operator_macs

Lower = Callable[[Builder, Step], Value]

# What moves values at once, where it stands; the rest waits for the scale of its result.
_AT_ONCE: dict[str, Lower] = {
    **MOVEMENTS,
    "pad": lower_pad,
    "constant_pad_nd": lower_pad,
    "max_pool1d": window.lower_max_pool,
    "max_pool2d": window.lower_max_pool,
    "amax": window.lower_amax,
    "upsample_nearest1d": window.lower_nearest,
    "upsample_nearest2d": window.lower_nearest,
    "_upsample_nearest_exact2d": window.lower_nearest,
}
_COMPUTED: dict[str, Lower] = {
    "conv1d": convolution.lower_convolution,
    "conv2d": convolution.lower_convolution,
    "linear": convolution.lower_linear,
    "add": arithmetic.binary("ADD"),
    "sub": arithmetic.binary("SUB"),
    "rsub": arithmetic.binary("SUB", swapped=True),
    "mul": arithmetic.lower_multiplication,
    "neg": arithmetic.lower_multiplication,
    "div": arithmetic.lower_division,
    "maximum": arithmetic.lower_extremum,
    "minimum": arithmetic.lower_extremum,
    "abs": arithmetic.unary("ABS"),
    "hardswish": arithmetic.unary("HARD_SWISH"),
    "leaky_relu": arithmetic.unary("LEAKY_RELU"),
    "prelu": arithmetic.lower_prelu,
    "sigmoid": arithmetic.lower_fixed("LOGISTIC"),
    "tanh": arithmetic.lower_fixed("TANH"),
    "softmax": arithmetic.lower_softmax,
    "relu": arithmetic.lower_clamp,
    "relu6": arithmetic.lower_clamp,
    "hardtanh": arithmetic.lower_clamp,
    "clamp": arithmetic.lower_clamp,
    "clamp_min": arithmetic.lower_clamp,
    "avg_pool1d": window.lower_average_pool,
    "avg_pool2d": window.lower_average_pool,
    "adaptive_avg_pool1d": window.lower_adaptive_average_pool,
    "adaptive_avg_pool2d": window.lower_adaptive_average_pool,
    "mean": window.reduction("MEAN"),
    "sum": window.reduction("SUM"),
    "upsample_bilinear2d": window.lower_bilinear,
    "cat": lower_concatenation,
    "pad": lower_pad,
    "constant_pad_nd": lower_pad,
}
_IMAGES_1D = ("conv1d", "max_pool1d", "avg_pool1d", "adaptive_avg_pool1d", "upsample_nearest1d")


@dataclass(frozen=True)
class Origin:
    """Whose result a tensor of the graph is, and how the node's elements lie in it."""

    node: str
    layout: Layout


@dataclass(frozen=True, eq=False)
class Lowered:
    """A graph, before the passes, and what it stands for."""

    graph: Graph
    inputs: tuple[Layout, ...]  # how PyTorch's elements lie in each input and output
    outputs: tuple[Layout, ...]
    module: GraphModule  # the program that was lowered
    origins: Mapping[str, Origin]  # tensor -> node of `module`; not of every tensor


def lower_program(program: ExportedProgram, source: str, name: str = "model") -> Lowered:
    """The graph of a quantised program of batch 1; `source` is what messages call it.

    Raises UnsupportedError naming modules and operators.
    """
    module = program.module(check_guards=False)
    assert isinstance(module, GraphModule)
    if not any(is_quantize(node) for node in module.graph.nodes):
        raise UnsupportedError(
            f"{source}: the program is float; quantise it: thumbnet.compile(program, "
            "example_inputs, calibration=batches, ...) or codegen.frontends.pytorch.quantize"
        )
    canonicalize(module)
    check_supported(module.graph.nodes, source)
    spell_out_batch_norms(module)
    try:
        return _Lowering(module, source).lowered(c_identifier(name))
    except UnsupportedError as error:
        raise UnsupportedError(f"{source}: {error}") from error


class _Lowering:
    """State of one lowering: what each node of the program is, so far."""

    def __init__(self, module: GraphModule, source: str) -> None:
        self.module = module
        self.source = source
        self.build = Builder()
        self.known: dict[Node, Value | Constant] = {}
        self.inputs: list[tuple[Node, Value]] = []
        self.origins: dict[str, Origin] = {}

    def lowered(self, name: str) -> Lowered:
        results: list[Node] = []
        self._check_inputs()
        for node in self.module.graph.nodes:
            if node.op == "get_attr":
                data = python_operator.attrgetter(str(node.target))(self.module)
                self.known[node] = Constant(data.detach().cpu().numpy())
            elif node.op == "call_function":
                self._lower(node)
                self._remember(node)
            elif node.op == "output":
                results = [n for n in tree_leaves(node.args) if isinstance(n, Node)]
                self._check_results(results)
        outputs, layouts = self._outputs(results)
        for node in self.module.graph.nodes:
            if node.op == "placeholder" and not any(node is n for n, _ in self.inputs):
                raise UnsupportedError(f"the input '{node.name}' is never used; remove it")
        order = {n: i for i, n in enumerate(self.module.graph.nodes)}
        self.inputs.sort(key=lambda entry: order[entry[0]])
        inputs = tuple(value.tensor for _, value in self.inputs)
        tensors, operators = self.build.tensors, self.build.operators
        used = {n for op in operators for n in (*op.inputs, *op.outputs) if n}
        graph = Graph(
            name=name,
            source=self.source,
            tensors={n: t for n, t in tensors.items() if n in used | {*inputs, *outputs}},
            operators=tuple(operators),
            inputs=inputs,
            outputs=outputs,
            float_inputs=frozenset(inputs),
            float_outputs=frozenset(outputs),
            macs=sum(operator_macs(op, tensors) for op in operators),
            input_names={v.tensor: c_identifier(n.name) for n, v in self.inputs},
            output_names=_output_names(outputs),
        )
        origins = {name: at for name, at in self.origins.items() if name in graph.tensors}
        given = tuple(value.layout for _, value in self.inputs)
        return Lowered(graph, given, layouts, self.module, origins)

    # ---- nodes -----------------------------------------------------------------------------

    def _lower(self, node: Node) -> None:
        if is_dequantize(node):
            self.known[node] = self._dequantized(node)
        elif is_quantize(node):
            self.known[node] = self._quantized(node)
        elif operator_of(node) == "getitem":
            self._pick(node)
        elif role_of(node) in (Role.PASS, Role.SCALE):
            x = self.known.get(node.all_input_nodes[0])
            lower = _AT_ONCE.get(operator_of(node))
            if isinstance(x, Constant):
                self.known[node] = self._moved_constant(node, x)
            elif x is not None and lower is not None:
                self.known[node] = lower(self.build, step_of(node, self.known, x))

    def _remember(self, node: Node) -> None:
        value = self.known.get(node)
        if not isinstance(value, Value) or value.tensor in self.origins or is_dequantize(node):
            return
        tensor = self.build.tensors[value.tensor]
        if (tensor.scale, tensor.zero_point) == (value.scale, value.zero_point):
            self.origins[value.tensor] = Origin(node.name, value.layout)

    def _pick(self, node: Node) -> None:
        source = node.args[0]
        assert isinstance(source, Node)
        x = self.known.get(source.all_input_nodes[0])
        if not isinstance(x, Value):
            raise self._not_quantized(node)
        step = step_of(node, self.known, x)
        if operator_of(source) == "adaptive_max_pool2d":
            if node.args[1] != 0:
                raise step.refused("the indices of a pool are not supported")
            step = replace(step, arguments=arguments_of(source))
            self.known[node] = window.lower_adaptive_max_pool(self.build, step)
        else:
            self.known[node] = lower_item(self.build, step, source, self.known)

    def _quantized(self, node: Node) -> Value | Constant:
        source = node.args[0]
        assert isinstance(source, Node)
        known = self.known.get(source)
        if isinstance(known, Constant):
            scale, zero_point, axis = self._numbers(node)
            shape = [-1 if d == axis and scale.size > 1 else 1 for d in range(known.data.ndim)]
            integers = np.rint(known.real() / scale.reshape(shape)) + zero_point
            a = arguments_of(node)
            clipped = np.clip(integers, a["quant_min"], a["quant_max"]).astype(np.int8)
            return Constant(clipped, scale, zero_point, axis)
        scale, zero_point = self._activation_scale(node)
        if known is not None:
            return self.build.requantized(step_of(source, self.known), known, scale, zero_point)
        return self._computed(source, scale, zero_point)

    def _computed(self, node: Node, scale: np.float32, zero_point: int) -> Value:
        """The operator that ends at `node`, with the scale that the program gives its result.

        What only moves its values before they are quantised may as well do so after.
        """
        if node.op == "placeholder":
            return self._input(node, scale, zero_point)
        moves = _AT_ONCE.get(operator_of(node))
        if moves is not None and role_of(node) is Role.PASS:
            source = node.all_input_nodes[0]
            made = self._computed(source, scale, zero_point)
            return moves(self.build, step_of(node, {**self.known, source: made}, made))
        computing, activation = node, "NONE"
        producer = node.all_input_nodes[0] if node.all_input_nodes else None
        if producer is not None and producer not in self.known and activation_of(node):
            computing, activation = producer, str(activation_of(node))
        lower = _COMPUTED.get(operator_of(computing))
        if lower is None:
            raise self._not_quantized(computing)
        step = Step(computing, arguments_of(computing), self.known, activation,
                    shape_of_node(node), scale, zero_point)  # fmt: skip
        before = len(self.build.operators)
        made = lower(self.build, step)
        emitted = self.build.operators[before:]
        carried = {getattr(op.attributes, "activation", "NONE") for op in emitted}
        if activation not in carried | {"NONE"}:
            raise step.refused(f"{activation} cannot be applied by it; quantise its own result")
        return made

    def _dequantized(self, node: Node) -> Value | Constant:
        known = self.known.get(node.args[0])
        if isinstance(known, Constant) and known.scale is None:
            scale, zero_point, axis = self._numbers(node)
            return Constant(known.data, scale, zero_point, axis)
        if known is None:
            raise self._not_quantized(node)
        if isinstance(known, Value):
            scale, zero_point = self._activation_scale(node)
            return replace(known, scale=scale, zero_point=zero_point)
        return known

    def _moved_constant(self, node: Node, x: Constant) -> Constant:
        if x.scale is not None and x.scale.size > 1:
            raise step_of(node, self.known).refused("it moves a constant of several scales")
        if role_of(node) is not Role.PASS or not isinstance(node.target, torch._ops.OpOverload):
            raise step_of(node, self.known).refused("it computes a constant; fold it first")
        moved = node.target(torch.from_numpy(x.data), *node.args[1:], **node.kwargs)
        return replace(x, data=moved.numpy())

    def _not_quantized(self, node: Node) -> UnsupportedError:
        return UnsupportedError(
            f"{describe(node)}: it computes on float values; quantise the whole model with "
            "thumbnet's quantiser (docs/pytorch.md)"
        )

    # ---- scales ----------------------------------------------------------------------------

    def _numbers(self, node: Node) -> tuple[Any, int, int]:
        """Scales, zero point and axis of a quantise or dequantise node of a constant."""
        a = arguments_of(node)
        scale = np.atleast_1d(np.asarray(self._literal(a, "scale", "scales"), np.float32)).ravel()
        given = self._literal(a, "zero_point", "zero_points")
        zeros = np.atleast_1d(np.asarray(0 if given is None else given)).ravel()
        if len(set(zeros.tolist())) > 1:
            raise step_of(node, self.known).refused("its channels have different zero points")
        axis = int(a.get("axis") or 0)
        if "block_size" in a and scale.size > 1:
            axis = a["block_size"].index(1)
        return scale, int(zeros[0]), axis

    def _activation_scale(self, node: Node) -> tuple[np.float32, int]:
        a = arguments_of(node)
        bounds = (a.get("quant_min"), a.get("quant_max"))
        affine = "input_dtype" if is_dequantize(node) else "output_dtype"  # torchao's names
        dtype = a.get("dtype", a.get(affine))
        scale, zero_point, _ = self._numbers(node)
        if scale.size != 1 or dtype != torch.int8 or bounds not in ((-128, 127), (None, None)):
            raise step_of(node, self.known).refused(
                f"activations must be int8 (-128..127) with one scale, not {dtype} {bounds}"
            )
        if not np.isfinite(scale[0]):
            raise step_of(node, self.known).refused(
                "its scale is not finite: the calibration made it overflow"
            )
        return np.float32(scale[0]), zero_point

    def _literal(self, arguments: dict[str, Any], *names: str) -> Any:
        value = next(arguments[name] for name in names if name in arguments)
        if isinstance(value, Node):
            constant = self.known.get(value)
            if not isinstance(constant, Constant):
                raise self._not_quantized(value)
            return constant.data
        return value

    # ---- edges -----------------------------------------------------------------------------

    def _input(self, node: Node, scale: np.float32, zero_point: int) -> Value:
        for known, value in self.inputs:
            if known is node:  # quantised a second time, otherwise
                return self.build.requantized(step_of(node, self.known), value, scale, zero_point)
        shape = shape_of_node(node)
        form = IMAGE_1D if len(shape) == 3 and _feeds_image(node) else usual(len(shape))
        value = self.build.input(node.name, shape, form, float(scale), zero_point)
        self.inputs.append((node, value))
        return value

    def _check_inputs(self) -> None:
        for node in self.module.graph.nodes:
            if node.op != "placeholder":
                continue
            value = node.meta.get("val")
            if not isinstance(value, torch.Tensor):
                raise UnsupportedError(f"the input '{node.name}' is no tensor; make it a constant")
            if not all(isinstance(n, int) for n in value.shape) or tuple(value.shape[:1]) != (1,):
                raise UnsupportedError(
                    f"the input '{node.name}' has shape {[str(n) for n in value.shape]}; export "
                    "with batch 1 and fixed shapes"
                )

    def _check_results(self, results: Iterable[Node]) -> None:
        for result in results:
            if not isinstance(self.known.get(result), Value):
                raise self._not_quantized(result)

    def _outputs(self, results: Iterable[Node]) -> tuple[tuple[str, ...], tuple[Layout, ...]]:
        names: list[str] = []
        layouts: list[Layout] = []
        for node in results:
            value = self.known[node]
            assert isinstance(value, Value)
            step = step_of(node, self.known)
            form = _edge_form(value.layout)
            tensor = self.build.as_form(step, value, form)
            if tensor in names or any(tensor == v.tensor for _, v in self.inputs):
                raise step.refused("an output of the model is also its input or another output")
            names.append(tensor)
            layouts.append(layout_of(value.shape, form))
        return tuple(names), tuple(layouts)


def _edge_form(layout: Layout) -> Form:
    """Outputs of four dimensions are NHWC, those of one-dimensional images lie as they are."""
    rank = len(layout.dims)
    if rank == 3 and has_form(layout, IMAGE_1D) and not has_form(layout, natural(3)):
        return IMAGE_1D
    return usual(rank) if rank == 4 else form_of(layout) or natural(rank)


def _feeds_image(node: Node) -> bool:
    """Whether a tensor of three dimensions goes into convolutions or pools over the last."""
    for user in node.users:
        name = operator_of(user)
        if name in _IMAGES_1D:
            return True
        steps_over = is_quantize(user) or is_dequantize(user) or name in NOTHING | {"pad"}
        if steps_over and _feeds_image(user):
            return True
    return False


def _output_names(outputs: tuple[str, ...]) -> dict[str, str]:
    if len(outputs) == 1:
        return {outputs[0]: "output"}
    return {tensor: f"output_{i}" for i, tensor in enumerate(outputs)}
