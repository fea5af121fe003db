"""What each PyTorch operator means for quantisation, and which have no kernel.

The quantiser and the lowering ask here, so that they cannot disagree.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from math import inf
from typing import Any

from torch.fx import Node

from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.frontends.pytorch.aten import (
    arguments_of,
    describe,
    operator_of,
    shape_of_node,
)


class Role(enum.Enum):
    """Where the numbers of an operator's output come from."""

    PASS = "values of the input, moved or picked: it keeps the input's scale"
    SCALE = "the input times a positive constant: another scale for the same integers"
    SAME = "computed on the input's own scale"
    JOIN = "all inputs and the output on one scale"
    FIXED = "a scale that the operator itself prescribes"
    FREE = "a scale of its own"


# (scale, zero point) that TensorFlow Lite prescribes
FIXED_SCALE = {
    "sigmoid": (1 / 256, -128),
    "softmax": (1 / 256, -128),
    "tanh": (1 / 128, 0),
    "div": (1 / 128, 0),  # the division of a normalisation
}

RESHAPING = frozenset(
    ("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze", "view_as")
)
PERMUTING = frozenset(("permute", "transpose", "t", "numpy_T", "movedim", "swapaxes"))
NOTHING = frozenset(
    ("contiguous", "clone", "alias", "detach", "dropout", "feature_dropout", "lift_fresh",
     "alpha_dropout", "lift_fresh_copy", "detach_copy")
)  # fmt: skip
PICKING = frozenset(
    ("slice", "select", "narrow", "chunk", "split", "split_with_sizes", "unbind", "getitem")
)
_PASS = (
    RESHAPING | PERMUTING | NOTHING | PICKING
    | {"max_pool1d", "max_pool2d", "adaptive_max_pool2d", "amax", "upsample_nearest1d",
       "upsample_nearest2d", "_upsample_nearest_exact2d", "channel_shuffle", "pixel_shuffle"}
)  # fmt: skip
_SAME = frozenset(("avg_pool1d", "avg_pool2d", "upsample_bilinear2d"))
_ADAPTIVE = frozenset(("adaptive_avg_pool1d", "adaptive_avg_pool2d"))
_JOIN = frozenset(("cat", "maximum", "minimum"))
CONVOLUTIONS = frozenset(("conv1d", "conv2d"))
_CLAMPS = frozenset(("relu", "relu6", "hardtanh", "clamp", "clamp_min"))
_FREE = frozenset(
    ("conv1d", "conv2d", "linear", "batch_norm", "add", "sub", "rsub", "mul", "neg", "mean", "sum",
     "prelu", "leaky_relu", "hardswish", "abs")
)  # fmt: skip
_FUSING = frozenset(  # whose kernels clamp; MEAN and RESIZE_BILINEAR do not
    ("conv1d", "conv2d", "linear", "batch_norm", "add", "sub", "mul", "avg_pool1d", "avg_pool2d")
)

_ADVICE = {
    "a module without it: nn.ReLU, nn.ReLU6, nn.Hardswish and nn.SiLU are supported": (
        "gelu", "elu", "selu", "celu", "mish", "softplus", "softsign", "hardshrink", "threshold",
        "log_sigmoid", "rrelu", "glu", "erf",
    ),
    "nn.BatchNorm2d, which costs nothing after a convolution": (
        "layer_norm", "native_layer_norm", "group_norm", "instance_norm", "rms_norm",
        "local_response_norm",
    ),
    "nn.Upsample followed by nn.Conv2d": ("conv_transpose1d", "conv_transpose2d"),
    "nn.Conv2d or nn.Conv1d": ("conv3d",),
    "convolutions over time (nn.Conv1d)": ("lstm", "gru", "rnn_tanh", "rnn_relu"),
    "nn.Linear, whose weights are constant": (
        "matmul", "bmm", "mm", "einsum", "scaled_dot_product_attention", "baddbmm",
    ),
    "nn.Softmax, or scores as they are: their order is the same": ("log_softmax",),
    "the scores themselves; pick the largest in the firmware": ("argmax", "topk", "sort", "max"),
    "one-hot or dense inputs": ("embedding", "embedding_bag"),
    "F.interpolate with mode 'nearest' or 'bilinear'": (
        "upsample_bicubic2d", "upsample_linear1d", "upsample_trilinear3d",
    ),
    "x * x": ("pow", "square"),
    "slices and torch.cat": ("index", "gather", "index_select", "roll", "flip", "repeat", "stack"),
}  # fmt: skip
_ADVICE_OF = {name: advice for advice, names in _ADVICE.items() for name in names}


def is_quantize(node: Any) -> bool:
    """Whether the node turns float into integers (torch's or torchao's operator)."""
    return isinstance(node, Node) and operator_of(node) in (
        "quantized_decomposed.quantize_per_tensor",
        "quantized_decomposed.quantize_per_channel",
        "torchao.quantize_affine",
    )


def is_dequantize(node: Any) -> bool:
    return isinstance(node, Node) and operator_of(node) in (
        "quantized_decomposed.dequantize_per_tensor",
        "quantized_decomposed.dequantize_per_channel",
        "torchao.dequantize_affine",
    )


def origin(node: Any) -> Any:
    """The node whose values these are: quantise and dequantise nodes before it are skipped."""
    while is_quantize(node) or is_dequantize(node):
        node = node.args[0]
    return node


def number_of(value: Any) -> float | None:
    """A Python number, or None."""
    return float(value) if isinstance(value, int | float) else None


# ---- clamps --------------------------------------------------------------------------------


def activation_of(node: Node) -> str | None:
    """RELU, RELU6 or RELU_N1_TO_1, where the node is one of them."""
    name = operator_of(node)
    if name not in _CLAMPS:
        return None
    if name in ("relu", "relu6"):
        return name.upper()
    a = arguments_of(node)
    low, high = a.get("min_val", a.get("min")), a.get("max_val", a.get("max"))
    bounds = (-inf if low is None else float(low), inf if high is None else float(high))
    known = {(0.0, inf): "RELU", (0.0, 6.0): "RELU6", (-1.0, 1.0): "RELU_N1_TO_1"}
    return known.get(bounds)


def fuses_with(producer: Any, clamp: Node) -> bool:
    """Whether the clamp is applied by the operator that makes its input."""
    if not isinstance(producer, Node) or activation_of(clamp) is None:
        return False
    if len(producer.users) != 1 or is_constant(producer):
        return False
    role = role_of(producer)
    if role is Role.SCALE:
        return False
    name = operator_of(producer)
    if name in _ADAPTIVE:
        return role is Role.SAME  # an AVERAGE_POOL_2D, not a MEAN
    return name in _FUSING and role in (Role.FREE, Role.SAME)


def is_folded(batch_norm: Node) -> bool:
    """Whether a batch_norm node goes into the convolution or dense layer before it."""
    layer = batch_norm.args[0] if operator_of(batch_norm) == "batch_norm" else None
    if not isinstance(layer, Node) or len(layer.users) != 1:
        return False
    if operator_of(layer) == "linear" and len(layer.meta["val"].shape) != 2:
        return False  # it normalises another dimension than the last
    own = all(len(n.users) == 1 for n in layer.all_input_nodes[1:])  # not shared by another layer
    return own and operator_of(layer) in (*CONVOLUTIONS, "linear")


# ---- constants -----------------------------------------------------------------------------


def is_constant(node: Any) -> bool:
    """Whether a node is a parameter or buffer, also one that is viewed otherwise or quantised."""
    while isinstance(node, Node) and node.op == "call_function":
        if not (is_quantize(node) or is_dequantize(node) or role_of(node) is Role.PASS):
            return False
        node = node.args[0]
    return isinstance(node, Node) and node.op == "get_attr"


# ---- normalisation -------------------------------------------------------------------------


def normalized(node: Node) -> tuple[Node, int] | None:
    """(x, dimension) where the node is the division of F.normalize(x, dim=dimension), p = 2."""
    if operator_of(node) != "div" or not isinstance(node.args[1], Node):
        return None
    chain = norm_chain(node)
    if not chain:
        return None
    a = arguments_of(chain[-1])
    dims = a.get("dim")
    order = a.get("ord", a.get("p"))
    dims = [dims] if isinstance(dims, int) else dims
    same = origin(chain[-1].args[0]) is origin(node.args[0])
    if not same or order not in (2, 2.0, None) or not dims or len(dims) != 1 or not a["keepdim"]:
        return None
    x = node.args[0]
    assert isinstance(x, Node)
    return x, int(dims[0]) % len(shape_of_node(node))


def norm_chain(node: Node) -> list[Node]:
    """The nodes that make the divisor of a normalisation, the norm itself last; else none."""
    chain: list[Node] = []
    at = node.args[1]
    while isinstance(at, Node) and operator_of(at) in ("expand", "expand_as", "clamp_min"):
        chain.append(at)
        at = at.args[0]
    if isinstance(at, Node) and operator_of(at) in ("linalg_vector_norm", "norm"):
        return [*chain, at]
    return []


# ---- roles ---------------------------------------------------------------------------------


def role_of(node: Node) -> Role | None:
    """None for what has no kernel, and for the inside of a normalisation."""
    name = operator_of(node)
    if name in ("pad", "constant_pad_nd"):
        return Role.SAME if arguments_of(node).get("value") else Role.PASS
    if name in ("expand", "expand_as", "to", "_to_copy", "type_as"):
        inputs = node.args[0]
        same = isinstance(inputs, Node) and shape_of_node(inputs) == shape_of_node(node)
        return Role.PASS if same else None
    if name in _PASS:
        return Role.PASS
    if name in ("mul", "div") and (factor_of(node) or 0) > 0:
        return Role.SCALE
    if name in ("sigmoid", "softmax", "tanh") or (name == "div" and normalized(node)):
        return Role.FIXED
    if name in _ADAPTIVE:
        return Role.FREE if all(n == 1 for n in shape_of_node(node)[2:]) else Role.SAME
    if name in _CLAMPS:
        activation = activation_of(node)
        return None if activation is None else Role.SAME if activation == "RELU6" else Role.FREE
    if name in _SAME:
        return Role.SAME
    if name in _JOIN:
        return Role.JOIN
    return Role.FREE if name in _FREE else None


def factor_of(node: Node) -> float | None:
    """The constant by which a mul or div by a number multiplies."""
    number = number_of(node.args[1]) if len(node.args) > 1 else None
    if number is None:
        return None
    if operator_of(node) == "div":
        return 1 / number if number and arguments_of(node).get("rounding_mode") is None else None
    return number


def check_supported(nodes: Iterable[Node], model: str, *, training: bool = False) -> None:
    """Raises one UnsupportedError that names every operator without a kernel."""
    nodes = list(nodes)
    inside = {n for node in nodes if operator_of(node) == "div" and normalized(node)
              for n in norm_chain(node)}  # fmt: skip
    problems = []
    for node in nodes:
        if node.op != "call_function" or node in inside or is_constant(node):
            continue
        if is_quantize(node) or is_dequantize(node) or operator_of(node) == "sym_size":
            continue
        reason = _refusal(node, training)
        if reason is not None:
            problems.append(f"{describe(node)}: {reason}")
    if problems:
        raise UnsupportedError(
            f"{model}: {len(problems)} operator(s) cannot be compiled:\n  " + "\n  ".join(problems)
        )


def _refusal(node: Node, training: bool) -> str | None:
    name = operator_of(node)
    if role_of(node) is None:
        if name in _CLAMPS:
            return "its bounds are no clamp of the kernels; use nn.ReLU, nn.ReLU6 or (-1, 1)"
        if name in _ADVICE_OF:
            return f"not supported; use {_ADVICE_OF[name]}"
        if name in ("div", "linalg_vector_norm", "norm", "expand", "expand_as", "clamp_min"):
            return "only division by a number, and F.normalize over one dimension, are supported"
        return "not supported; docs/pytorch.md lists the operators that are"
    arguments = arguments_of(node)
    alpha = arguments.get("alpha", 1)
    if name in ("add", "sub", "rsub") and alpha != 1:
        return f"alpha {alpha} is not supported; multiply before adding"
    if name == "pad" and arguments["mode"] != "constant":
        return f"mode '{arguments['mode']}' is not supported; use constant padding"
    if name in ("pad", "constant_pad_nd") and min(arguments["pad"]) < 0:
        return "negative padding is not supported; use a slice"
    if name.startswith("max_pool") and set(_numbers(arguments["dilation"])) != {1}:
        return "dilation is not supported; use a pool without it"
    if name == "batch_norm" and len(shape_of_node(node)) > 4:
        return "only images and vectors are supported; use nn.BatchNorm2d"
    if name == "batch_norm" and arguments["running_mean"] is None:
        return "a batch norm without running statistics; use track_running_stats=True"
    if not training and (arguments.get("training") or arguments.get("train")):
        by_hand = "; give F.dropout training=self.training" if "dropout" in name else ""
        return f"it was exported in training mode; call eval() before torch.export{by_hand}"
    if arguments.get("divisor_override"):
        return "divisor_override is not supported; use the default divisor"
    return None


def _numbers(value: Any) -> list[int]:
    return [value] if isinstance(value, int) else list(value)
