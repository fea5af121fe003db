"""Damaged and contradictory .tflite files, drawn from sound ones.

`mutant(bases, number)` is case `number` of an endless, reproducible sequence: damaged bytes,
damaged tables, and models made by `tests/tflite_builder.py` with one or two fields changed.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import flatbuffers
import numpy as np
import tflite
from tflite_builder import Builder

from thumbnet.codegen.frontends.tflite_builder import TYPES, Subgraph, camel_case, option_table

EXTREMES = (0, 1, -1, 2, 127, 128, 255, 256, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, -0x80000000,
            0x7FFFFFF0, -2, 0x40000000)  # fmt: skip
SCALES = (float("nan"), float("inf"), -float("inf"), 0.0, -0.5, 1e-45, 1e-38, 1e-20, 1e-6, 1e6,
          1e20, 3.4e38)  # fmt: skip
ZERO_POINTS = (-129, -128, 127, 128, 255, 256, -32769, 2**31, -(2**31), 2**63 - 1, -(2**63))
DIMENSIONS = (0, 1, 2, 3, 5, 16, 255, 4096, 65536, 2**24, 2**31 - 1, -1, -2)
NUMBERS = (0, 1, 2, 3, 4, 5, 7, 8, 100, 127, 255, 65535, 2**31 - 1, -1, -2, -(2**31))
REALS = (float("nan"), float("inf"), -float("inf"), 0.0, -1.0, 1e-30, 1e30, 8.0, -3.5)

# Every operator kind, so that one may take another's place.
KINDS = sorted(
    kind
    for kind, code in vars(tflite.BuiltinOperator).items()
    if isinstance(code, int)
    and (not option_table(kind) or hasattr(tflite.BuiltinOptions, option_table(kind)))
)


@dataclass(frozen=True)
class Base:
    """A sound model. `make` gives it as a fresh Builder; None: only its bytes are known."""

    name: str
    data: bytes
    make: Callable[[], Builder] | None = None


def mutant(bases: Sequence[Base], number: int) -> tuple[str, bytes]:
    """What was done, and the file."""
    chance = random.Random(number)
    while True:
        base = chance.choice(bases)
        if base.make is not None and chance.random() < 0.6:
            builder = base.make()
            count = chance.choice((1, 1, 2))
            done = [chance.choice(_FIELDS)(chance, builder) for _ in range(count)]
            try:
                return f"{base.name}: {'; '.join(done)}", builder.build()
            except (TypeError, ValueError, OverflowError, struct.error):
                continue  # the format cannot say this
        data = bytearray(base.data)
        done = [chance.choice(_BYTES)(chance, data) for _ in range(chance.choice((1, 1, 1, 3)))]
        return f"{base.name}: {'; '.join(done)}", bytes(data)


# ---- bytes -----------------------------------------------------------------------------------


def _truncate(chance: random.Random, data: bytearray) -> str:
    length = chance.randrange(len(data)) if data else 0
    del data[length:]
    return f"cut at {length}"


def _flip(chance: random.Random, data: bytearray) -> str:
    bits = [chance.randrange(len(data) * 8) for _ in range(chance.randint(1, 8))] if data else []
    for bit in bits:
        data[bit // 8] ^= 1 << bit % 8
    return f"bits {bits}"


def _set(chance: random.Random, data: bytearray) -> str:
    at = chance.randrange(len(data)) if data else 0
    data[at : at + 1] = bytes([chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))])
    return f"byte {at}"


def _overwrite(chance: random.Random, data: bytearray) -> str:
    """A 16- or 32-bit word becomes an extreme, an offset about the file's size, or a neighbour."""
    if len(data) < 8:
        return "nothing"
    size, form = chance.choice(((4, "<I"), (4, "<I"), (2, "<H")))
    at = chance.randrange(len(data) // size - 1) * size
    old = int.from_bytes(data[at : at + size], "little")
    value = chance.choice((*EXTREMES, len(data), len(data) - 4, old + 1, old - 1, old + 4, old * 2))
    data[at : at + size] = struct.pack(form, value & (256**size - 1))
    return f"{size} bytes at {at} = {value}"


def _move(chance: random.Random, data: bytearray) -> str:
    """Blocks change places, or one is copied, inserted or removed."""
    if len(data) < 16:
        return "nothing"
    size = chance.choice((4, 4, 8, 16, 64, 256))
    a, b = (chance.randrange(len(data)) & ~3 for _ in range(2))
    how = chance.choice(("swap", "copy", "insert", "remove"))
    first, second = bytes(data[a : a + size]), bytes(data[b : b + size])
    if how == "remove":
        del data[a : a + size]
    elif how == "insert":
        data[b:b] = first
    else:
        data[b : b + len(second)] = first[: len(second)]
        if how == "swap":
            data[a : a + len(first)] = second[: len(first)]
    return f"{how} {size} bytes, {a} and {b}"


def _forget(chance: random.Random, data: bytearray) -> str:
    """A table loses a field (its vtable's entry becomes 0), or two fields change places."""
    try:
        table = _random_table(chance, bytes(data))
        vtable = table.Pos - table.Get(flatbuffers.number_types.SOffsetTFlags, table.Pos)
        entries = (struct.unpack_from("<H", data, vtable)[0] - 4) // 2
        at = vtable + 4 + 2 * chance.randrange(entries)
        value = chance.choice((0, 0, struct.unpack_from("<H", data, vtable + 4)[0], 4))
        struct.pack_into("<H", data, at, value)
    except (struct.error, IndexError, ValueError, TypeError, AttributeError, AssertionError):
        return "nothing"
    return f"field at {at} of table {table.Pos} = {value}"


def _random_table(chance: random.Random, data: bytes) -> Any:
    """A table somewhere below the root: model, subgraph, tensor, operator, options, buffer."""
    model = tflite.Model.GetRootAsModel(data, 0)
    subgraph = model.Subgraphs(chance.randrange(model.SubgraphsLength()))
    kind = chance.randrange(8)
    if kind == 0:
        return model._tab
    if kind == 1:
        return subgraph._tab
    if kind == 2:
        return model.OperatorCodes(chance.randrange(model.OperatorCodesLength()))._tab
    if kind == 3:
        return model.Buffers(chance.randrange(model.BuffersLength()))._tab
    if kind <= 5:
        tensor = subgraph.Tensors(chance.randrange(subgraph.TensorsLength()))
        return (tensor if kind == 4 else tensor.Quantization())._tab
    operator = subgraph.Operators(chance.randrange(subgraph.OperatorsLength()))
    return operator._tab if kind == 6 else operator.BuiltinOptions()


_BYTES = (_truncate, _flip, _set, _set, _overwrite, _overwrite, _overwrite, _move, _forget, _forget)


# ---- fields ------------------------------------------------------------------------------------


def _graph(chance: random.Random, builder: Builder) -> Subgraph:
    return chance.choice([builder, builder, builder, *builder.others])


def _shape(chance: random.Random, builder: Builder) -> str:
    graph = _graph(chance, builder)
    at = chance.randrange(len(graph.specs))
    shape = list(graph.specs[at].shape)
    how = chance.choice(("set", "set", "near", "near", "drop", "add", "turn", "all"))
    if how == "all":
        shape = [chance.choice(DIMENSIONS) for _ in range(chance.randrange(10))]
    elif how == "add" or not shape:
        shape.insert(chance.randrange(len(shape) + 1), chance.choice(DIMENSIONS))
    elif how == "turn":
        chance.shuffle(shape)
    else:
        axis = chance.randrange(len(shape))
        if how == "drop":
            del shape[axis]
        else:
            near = shape[axis] + chance.choice((-1, 1, shape[axis]))
            shape[axis] = near if how == "near" else chance.choice(DIMENSIONS)
    graph.specs[at] = replace(graph.specs[at], shape=tuple(shape))
    return f"tensor {at} has shape {shape}"


def _type(chance: random.Random, builder: Builder) -> str:
    graph = _graph(chance, builder)
    at = chance.randrange(len(graph.specs))
    dtype = chance.choice(list(TYPES))
    data = graph.data[at]
    graph.specs[at] = replace(graph.specs[at], dtype=dtype)
    if data is not None and dtype != "resource" and chance.random() < 0.7:
        graph.data[at] = data.astype(dtype)
    return f"tensor {at} has type {dtype}"


def _quantization(chance: random.Random, builder: Builder) -> str:
    graph = _graph(chance, builder)
    at = chance.randrange(len(graph.specs))
    spec = graph.specs[at]
    how = chance.choice(("scale", "scale", "factor", "factor", "zero_point", "zero_point", "none",
                         "axis", "count"))
    scales = [float(s) for s in np.atleast_1d(np.asarray(spec.scale or 0.05, np.float64))]
    if how == "scale":
        scales[chance.randrange(len(scales))] = chance.choice(SCALES)
        spec = replace(spec, scale=scales if len(scales) > 1 else scales[0])
    elif how == "factor":
        factor = 2.0 ** chance.uniform(-24, 24)
        spec = replace(spec, scale=[s * factor for s in scales])
    elif how == "zero_point":
        point = chance.choice((*ZERO_POINTS, chance.randrange(-128, 128)))
        spec = replace(spec, zero_point=point, scale=scales)
    elif how == "none":
        spec = replace(spec, scale=None)
    elif how == "axis":
        spec = replace(spec, axis=chance.choice((-1, 0, 1, 2, 3, 4, 2**31 - 1)), scale=scales)
    else:
        spec = replace(spec, scale=[scales[0]] * chance.choice((2, 3, len(scales) + 1)))
    graph.specs[at] = spec
    return f"tensor {at} has scale {spec.scale}, zero point {spec.zero_point}, axis {spec.axis}"


def _index(chance: random.Random, graph: Subgraph) -> int:
    return chance.choice(
        (*[chance.randrange(len(graph.specs))] * 6, -1, -2, len(graph.specs), 2**31 - 1)
    )


def _operands(chance: random.Random, builder: Builder) -> str:
    """The tensors of an operator, or of the subgraph, are others, more, fewer or turned round."""
    graph = _graph(chance, builder)
    lists = [graph.inputs, graph.outputs]
    for operator in graph.operators:
        lists += [operator.inputs, operator.inputs, operator.outputs]
    which = chance.randrange(len(lists))
    chosen = lists[which]
    how = chance.choice(("set", "set", "set", "add", "drop", "turn", "twice"))
    if how == "add" or not chosen:
        chosen.insert(chance.randrange(len(chosen) + 1), _index(chance, graph))
    elif how == "set":
        chosen[chance.randrange(len(chosen))] = _index(chance, graph)
    elif how == "drop":
        del chosen[chance.randrange(len(chosen))]
    elif how == "turn":
        chance.shuffle(chosen)
    else:
        chosen.append(chance.choice(chosen))
    return f"{how} in operand list {which}: {chosen}"


def _option(chance: random.Random, builder: Builder) -> str:
    graph = _graph(chance, builder)
    with_options = [op for op in graph.operators if op.options]
    if not with_options:
        return "nothing"
    operator = chance.choice(with_options)
    if chance.random() < 0.15:
        operator.options = {}
        return f"{operator.kind} has default options"
    key = chance.choice(list(operator.options))
    old = operator.options[key]
    value: Any
    if isinstance(old, float):
        value = chance.choice(REALS)
    elif isinstance(old, bool):
        value = not old
    elif key in ("fused_activation_function", "padding", "weights_format"):
        value = chance.choice((0, 1, 2, 3, 4, 5, 127, -128))
    elif isinstance(old, str):
        value = chance.choice(("", "sum", "window", "\0", "x" * 1000))
    elif isinstance(old, list):
        value = [chance.choice(NUMBERS) for _ in range(chance.randrange(6))]
    else:
        value = chance.choice((*NUMBERS, old + 1, old - 1))
    operator.options[key] = value
    return f"{operator.kind}.{key} = {value}"


def _kind(chance: random.Random, builder: Builder) -> str:
    graph = _graph(chance, builder)
    if not graph.operators:
        return "nothing"
    operator = chance.choice(graph.operators)
    old = operator.kind
    operator.kind = chance.choice((chance.choice(graph.operators).kind, chance.choice(KINDS)))
    table = option_table(operator.kind)
    operator.options = {
        key: value
        for key, value in operator.options.items()
        if hasattr(tflite, f"{table}Add{camel_case(key)}")
    }
    return f"{old} becomes {operator.kind}"


def _order(chance: random.Random, builder: Builder) -> str:
    graph = _graph(chance, builder)
    if not graph.operators:
        return "nothing"
    how = chance.choice(("shuffle", "swap", "drop", "twice", "none"))
    at = chance.randrange(len(graph.operators))
    if how == "shuffle":
        chance.shuffle(graph.operators)
    elif how == "swap":
        operators = graph.operators
        operators[at], operators[at - 1] = operators[at - 1], operators[at]
    elif how == "drop":
        del graph.operators[at]
    elif how == "twice":
        graph.operators.insert(chance.randrange(len(graph.operators) + 1), graph.operators[at])
    else:
        graph.operators.clear()
    return f"operators: {how} at {at}"


def _constant(chance: random.Random, builder: Builder) -> str:
    """A value of a constant is another, or its buffer has another length."""
    graph = _graph(chance, builder)
    places = [i for i, data in enumerate(graph.data) if data is not None and data.size]
    integers = [i for i in places if str(graph.data[i].dtype) == "int32"]  # type: ignore[union-attr]
    if not places:
        return "nothing"
    at = chance.choice(integers if integers and chance.random() < 0.8 else places)
    data = graph.data[at]
    assert data is not None
    flat = data.copy().reshape(-1)
    if chance.random() < 0.1:
        length = chance.choice((0, flat.size - 1, flat.size + 1))
        graph.data[at] = np.resize(flat, length)
        return f"constant {at} has {length} values"
    where = chance.randrange(flat.size)
    limits = np.iinfo(flat.dtype) if flat.dtype.kind in "iu" else None
    value = chance.choice((*NUMBERS, int(flat[where]) + 1, int(flat[where]) - 1))
    flat[where] = value if limits is None else min(max(value, int(limits.min)), int(limits.max))
    graph.data[at] = flat.reshape(data.shape)
    return f"constant {at}[{where}] = {value}"


_FIELDS = (_shape, _shape, _type, _quantization, _quantization, _operands, _operands, _option,
           _option, _kind, _order, _constant, _constant)  # fmt: skip


def bases_of(samples: Mapping[str, Callable[[], Builder]]) -> list[Base]:
    """The sound models that samples make."""
    return [Base(name, make().build(), make) for name, make in samples.items()]
