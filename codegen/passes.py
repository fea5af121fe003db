"""Graph rewrites that never change a byte of the result.

Each pass takes a graph and gives a graph; `optimize` runs them in order. After it, float32 is gone,
padding and clamps sit in the operators that apply them, and what only renames bytes is a RESHAPE,
which costs nothing: the schedule lets a RESHAPE's output share its input's storage.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from thumbnet.codegen.constant_channels import remove_idle_work
from thumbnet.codegen.errors import UnsupportedError
from thumbnet.codegen.graph import (
    Activation,
    Attributes,
    Concatenation,
    Convolution,
    Graph,
    Operator,
    Pad,
    Padding,
    Pool,
    Reduce,
    Slice,
    Tensor,
    Transpose,
)


def optimize(graph: Graph) -> Graph:
    """All passes. Raises UnsupportedError when float32 remains anywhere but at the edges."""
    return drop_dead_operators(remove_idle_work(simplify(graph)))


def simplify(graph: Graph) -> Graph:
    """The passes that do not look at the values of weights: what comes out has the shapes, and the
    costs, of any network of this architecture. Raises UnsupportedError as `optimize` does."""
    for rewrite in (
        drop_float_edges,
        reduce_before_transposing,
        rename_identities,
        fold_padding,
        fuse_activations,
        drop_dead_operators,
    ):
        graph = rewrite(graph)
    return graph


def _with_operators(graph: Graph, operators: Iterable[Operator]) -> Graph:
    return replace(graph, operators=tuple(operators))


# ---- float32 at the edges ------------------------------------------------------------------


def drop_float_edges(graph: Graph) -> Graph:
    """QUANTIZE of a float32 input and DEQUANTIZE into a float32 output leave the graph.

    The caller quantises and dequantises with the scales that the generated header gives.
    """
    rename: dict[str, str] = {}
    dropped: set[str] = set()
    for name in (*graph.inputs, *graph.outputs):
        if graph.tensors[name].dtype != "float32":
            continue
        edge = graph.consumers(name) if name in graph.inputs else (graph.producer(name),)
        kind = "QUANTIZE" if name in graph.inputs else "DEQUANTIZE"
        if len(edge) != 1 or edge[0] is None or edge[0].kind != kind:
            raise UnsupportedError(
                f"{graph.source}: float32 '{name}' is not quantised by exactly one {kind} at the "
                "model's edge; quantise the whole model to int8"
            )
        inner = edge[0].outputs[0] if name in graph.inputs else edge[0].inputs[0]
        if inner in rename.values() or inner in (*graph.inputs, *graph.outputs):
            raise UnsupportedError(f"{graph.source}: '{inner}' is an edge of the model twice")
        rename[name] = inner
        dropped.add(edge[0].name)
    operators = [op for op in graph.operators if op.name not in dropped]
    for op in operators:
        for name in (*op.inputs, *op.outputs):
            if name and graph.tensors[name].dtype == "float32":
                raise UnsupportedError(
                    f"{graph.source}: {op.kind} works on float32 '{name}' inside the model; "
                    "quantise the whole model to int8"
                )
    return replace(
        graph,
        operators=tuple(operators),
        inputs=tuple(rename.get(n, n) for n in graph.inputs),
        outputs=tuple(rename.get(n, n) for n in graph.outputs),
        float_inputs=graph.float_inputs | {rename[n] for n in graph.inputs if n in rename},
        float_outputs=graph.float_outputs | {rename[n] for n in graph.outputs if n in rename},
        input_names={rename.get(n, n): p for n, p in graph.input_names.items()},
        output_names={rename.get(n, n): p for n, p in graph.output_names.items()},
    )


# ---- transposes ----------------------------------------------------------------------------


def reduce_before_transposing(graph: Graph) -> Graph:
    """MEAN and SUM of a TRANSPOSE become its reduction, transposed: a sum has no order. Exporters
    from NCHW frameworks leave such pairs before the classifier."""
    tensors = dict(graph.tensors)
    operators: list[Operator] = []
    made_by: dict[str, Operator] = {}
    for op in graph.operators:
        transpose = made_by.get(op.inputs[0]) if op.inputs else None
        if (
            transpose is not None
            and isinstance(transpose.attributes, Transpose)
            and isinstance(op.attributes, Reduce)
            and len(graph.consumers(op.inputs[0])) == 1
            and op.inputs[0] not in graph.outputs
            and _same_numbers(tensors[transpose.inputs[0]], tensors[op.inputs[0]])
        ):
            source, output = tensors[transpose.inputs[0]], tensors[op.outputs[0]]
            permutation = transpose.attributes.permutation
            axes = tuple(sorted(permutation[axis] for axis in op.attributes.axes))
            left = [i for i in range(len(source.shape)) if i not in axes]
            shape = [1 if i in axes else n for i, n in enumerate(source.shape)]
            order = list(permutation)
            if not op.attributes.keep_dims:
                shape = [source.shape[i] for i in left]
                order = [left.index(i) for i in permutation if i in left]
            name = f"{output.name}, not transposed"
            tensors[name] = replace(output, name=name, shape=tuple(shape))
            operators.append(
                replace(
                    op,
                    inputs=(source.name, *op.inputs[1:]),
                    outputs=(name,),
                    attributes=replace(op.attributes, axes=axes),
                )
            )
            moved = Transpose(tuple(order))
            op = Operator(f"{op.name}, transposed", "TRANSPOSE", (name,), op.outputs, moved)
        operators.append(op)
        made_by.update(dict.fromkeys(op.outputs, op))
    return replace(graph, tensors=tensors, operators=tuple(operators))


# ---- identities ----------------------------------------------------------------------------


def rename_identities(graph: Graph) -> Graph:
    """Operators that leave every byte where it is become RESHAPE."""
    return _with_operators(
        graph,
        (
            Operator(op.name, "RESHAPE", op.inputs[:1], op.outputs)
            if op.kind != "RESHAPE" and _moves_nothing(op, graph)
            else op
            for op in graph.operators
        ),
    )


def _moves_nothing(op: Operator, graph: Graph) -> bool:
    if not op.inputs or not op.outputs:
        return False
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    match op.attributes:
        case Slice(begin=begin, size=size, stride=stride):
            strides_forward = all(s > 0 or n == 1 for s, n in zip(stride, size, strict=True))
            return strides_forward and size == source.shape and not any(begin)
        case Transpose(permutation=permutation):
            moved = [i for i in permutation if source.shape[i] != 1]
            return moved == sorted(moved)
        case Pad(before=before, after=after):
            return not any((*before, *after))
        case Concatenation():
            return len(op.inputs) == 1
        case _:
            return op.kind == "QUANTIZE" and _same_numbers(source, output)


def _same_numbers(a: Tensor, b: Tensor) -> bool:
    return (a.dtype, a.scale, a.zero_point) == (b.dtype, b.scale, b.zero_point)


# ---- padding -------------------------------------------------------------------------------


def fold_padding(graph: Graph) -> Graph:
    """PAD of rows and columns with the zero point moves into the convolutions that read it."""
    pads = {op.outputs[0]: op for op in graph.operators if _is_image_padding(op, graph)}

    def rewritten(op: Operator) -> Operator:
        pad = pads.get(op.inputs[0]) if op.inputs else None
        if pad is None or not isinstance(op.attributes, Convolution):
            return op
        assert isinstance(pad.attributes, Pad)
        before, after, own = pad.attributes.before, pad.attributes.after, op.attributes.padding
        padding = Padding(
            own.top + before[1], own.bottom + after[1], own.left + before[2], own.right + after[2]
        )
        return replace(
            op,
            inputs=(pad.inputs[0], *op.inputs[1:]),
            attributes=replace(op.attributes, padding=padding),
        )

    return _with_operators(graph, map(rewritten, graph.operators))


def _is_image_padding(op: Operator, graph: Graph) -> bool:
    if not isinstance(op.attributes, Pad) or op.kind != "PAD":
        return False
    source, output, pad = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]], op.attributes
    edges = (*pad.before[:1], *pad.after[:1], *pad.before[3:], *pad.after[3:])
    return (
        len(source.shape) == 4
        and not any(edges)
        and _same_numbers(source, output)
        and pad.value == output.zero_point
    )


# ---- activations ---------------------------------------------------------------------------


def fuse_activations(graph: Graph) -> Graph:
    """RELU, RELU6 and RELU_N1_TO_1 without a change of scale become their producer's clamp."""
    fused: dict[str, Operator] = {}  # the producer's name -> the activation
    for op in graph.operators:
        if op.kind not in ("RELU", "RELU6", "RELU_N1_TO_1"):
            continue
        source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
        producer = graph.producer(source.name)
        if (
            producer is not None
            and isinstance(producer.attributes, Convolution | Pool | Activation)
            and producer.attributes.activation == "NONE"
            and len(graph.consumers(source.name)) == 1
            and source.name not in graph.outputs
            and _same_numbers(source, output)
        ):
            fused[producer.name] = op
    gone = {op.name for op in fused.values()}

    def rewritten(op: Operator) -> Operator:
        activation = fused.get(op.name)
        if activation is None:
            return op
        assert isinstance(op.attributes, Convolution | Pool | Activation)
        attributes: Attributes = replace(op.attributes, activation=activation.kind)
        return replace(op, outputs=activation.outputs, attributes=attributes)

    return _with_operators(graph, (rewritten(op) for op in graph.operators if op.name not in gone))


# ---- dead operators ------------------------------------------------------------------------


def drop_dead_operators(graph: Graph) -> Graph:
    """Operators whose result nothing reads leave, and so do tensors that nothing names."""
    needed = set(graph.outputs)
    kept: list[Operator] = []
    for op in reversed(graph.operators):
        if op.kind == "ASSIGN_VARIABLE" or needed.intersection(op.outputs):
            kept.append(op)
            needed.update(name for name in op.inputs if name)
    used = needed | set(graph.inputs) | {s.tensor for s in graph.states}
    used |= {name for op in kept for name in op.outputs}
    return replace(
        graph,
        operators=tuple(reversed(kept)),
        tensors={n: t for n, t in graph.tensors.items() if n in used},
    )
