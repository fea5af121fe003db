"""The graph: what every front end produces and every pass rewrites.

Tensors and operators are plain frozen data. Layout is NHWC with a batch of one. Names of operators
and of their attributes are TensorFlow Lite's; operators that say the same thing in several ways
(SPLIT, SPLIT_V, SLICE, STRIDED_SLICE; RESHAPE, SQUEEZE, EXPAND_DIMS) reach the graph as one kind,
SLICE and RESHAPE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

DTYPE_BYTES = {"int8": 1, "uint8": 1, "int16": 2, "int32": 4, "int64": 8, "float32": 4, "bool": 1}


@dataclass(frozen=True, eq=False)
class Quantization:
    """real = scale * (q - zero_point); per tensor (length 1) or per channel along `axis`."""

    scale: NDArray[np.float32]  # exactly the float32 values of the model file
    zero_point: NDArray[np.int64]
    axis: int = 0


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor. `data` is set for constants only and has `shape` and `dtype`."""

    name: str  # unique in its graph
    shape: tuple[int, ...]
    dtype: str  # a key of DTYPE_BYTES
    quantization: Quantization | None = None
    data: NDArray[np.generic] | None = None

    @cached_property
    def elements(self) -> int:
        return prod(self.shape)

    @cached_property
    def nbytes(self) -> int:
        return self.elements * DTYPE_BYTES[self.dtype]

    @cached_property
    def rows(self) -> int:
        """Rows of the row view: H of [1, H, W, C], else 1."""
        return self.shape[1] if len(self.shape) == 4 and self.shape[0] == 1 else 1

    @cached_property
    def row_bytes(self) -> int:
        return self.nbytes // self.rows if self.rows else 0

    @property
    def scale(self) -> np.float32:
        """Per-tensor scale. Raises ValueError when the tensor has none or several."""
        if self.quantization is None or self.quantization.scale.size != 1:
            raise ValueError(f"tensor '{self.name}' has no per-tensor quantisation")
        return np.float32(self.quantization.scale[0])

    @property
    def zero_point(self) -> int:
        if self.quantization is None or self.quantization.zero_point.size != 1:
            raise ValueError(f"tensor '{self.name}' has no per-tensor quantisation")
        return int(self.quantization.zero_point[0])


@dataclass(frozen=True)
class Padding:
    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0


@dataclass(frozen=True)
class Attributes:
    """Base of operator attributes; operators without any use this class itself."""


@dataclass(frozen=True)
class Convolution(Attributes):
    """CONV_2D (weights [O, KH, KW, I]), DEPTHWISE_CONV_2D (weights [1, KH, KW, I*multiplier])."""

    stride_h: int
    stride_w: int
    dilation_h: int = 1
    dilation_w: int = 1
    padding: Padding = Padding()  # resolved: SAME and VALID are gone
    activation: str = "NONE"  # NONE, RELU, RELU_N1_TO_1, RELU6
    depth_multiplier: int = 0  # DEPTHWISE_CONV_2D only


@dataclass(frozen=True)
class Pool(Attributes):
    """AVERAGE_POOL_2D and MAX_POOL_2D."""

    filter_h: int
    filter_w: int
    stride_h: int
    stride_w: int
    padding: Padding = Padding()
    activation: str = "NONE"


@dataclass(frozen=True)
class Activation(Attributes):
    """FULLY_CONNECTED, ADD, SUB, MUL."""

    activation: str = "NONE"


@dataclass(frozen=True)
class Reduce(Attributes):
    """MEAN and SUM over `axes` (sorted, non-negative)."""

    axes: tuple[int, ...]
    keep_dims: bool


@dataclass(frozen=True)
class Softmax(Attributes):
    beta: float


@dataclass(frozen=True)
class LeakyRelu(Attributes):
    alpha: float


@dataclass(frozen=True)
class Concatenation(Attributes):
    axis: int  # non-negative


@dataclass(frozen=True)
class Slice(Attributes):
    """SLICE, STRIDED_SLICE, SPLIT and SPLIT_V: out[i...] = in[begin + i * stride ...].

    `begin` and `stride` (which may be negative) have the rank of the input; axes that
    STRIDED_SLICE shrinks have length 1 in `size` and may be absent from the output's shape.
    """

    begin: tuple[int, ...]
    size: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True)
class Pad(Attributes):
    before: tuple[int, ...]
    after: tuple[int, ...]
    value: int  # quantised


@dataclass(frozen=True)
class Transpose(Attributes):
    permutation: tuple[int, ...]


@dataclass(frozen=True)
class Resize(Attributes):
    """RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR; sizes are those of the tensors."""

    align_corners: bool
    half_pixel_centers: bool


@dataclass(frozen=True)
class Variable(Attributes):
    """READ_VARIABLE (output <- state) and ASSIGN_VARIABLE (state <- input)."""

    variable: str  # name of the state tensor


@dataclass(frozen=True)
class Operator:
    """One operator. `inputs` may hold "" where an optional input (a bias) is absent."""

    name: str  # unique in its graph
    kind: str  # TensorFlow Lite's name, e.g. "CONV_2D"
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Attributes = Attributes()


@dataclass(frozen=True, eq=False)
class State:
    """A variable that lives between calls, with the bytes that `NAME_init` gives it."""

    tensor: str
    initial: NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Graph:
    """Operators in an order in which they can run.

    `float_inputs` and `float_outputs` name the edges whose source model had float32 there.
    """

    name: str
    source: str  # the file it came from, for messages
    tensors: Mapping[str, Tensor]
    operators: tuple[Operator, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    states: tuple[State, ...] = ()
    float_inputs: frozenset[str] = frozenset()
    float_outputs: frozenset[str] = frozenset()
    macs: int = 0  # nominal multiply-accumulates of the source model, padded taps counted
    params: int = 0  # weights and biases of the source model where passes cut some; else 0
    window_rows: int = 0  # of a streamed graph: rows of the window that its outputs belong to
    input_names: Mapping[str, str] = field(default_factory=dict)  # tensor -> public name
    output_names: Mapping[str, str] = field(default_factory=dict)

    def is_constant(self, name: str) -> bool:
        return self.tensors[name].data is not None

    def consumers(self, name: str) -> tuple[Operator, ...]:
        return tuple(op for op in self.operators if name in op.inputs)

    def producer(self, name: str) -> Operator | None:
        return next((op for op in self.operators if name in op.outputs), None)
