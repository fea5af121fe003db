"""Kernels out of line: one function for each distinct set of literals, shared in an image.

A specialisation is named after its own text and not after the model, and `TN_SHARED`
(runtime/tn_core.h) makes it a weak symbol: the linker keeps one of several models' copies. Where
several models are compiled as one file (a unity build), the first brings it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from thumbnet.codegen.kernel import Call, Kernel
from thumbnet.codegen.schedule import Schedule
from thumbnet.codegen.streaming import rows_of


@dataclass(frozen=True)
class OneRow:
    """What one call, or every call of a specialisation, has of one row only."""

    tensors: tuple[bool, ...]  # inputs, then the output: never in a ring
    steps: bool  # the only band is [0, 1)


_Key = tuple[object, ...]


def _key(call: Call) -> _Key:
    return call.symbol, len(call.inputs), tuple((f, call.fields[f]) for f in call.literals)


def one_rows(schedule: Schedule) -> dict[_Key, OneRow]:
    """What may be a literal because it holds for all calls that are otherwise specialised alike."""
    found: dict[_Key, OneRow] = {}
    for kernel in schedule.kernels:
        for call in kernel.calls:
            one = _one_row(schedule, kernel, call)
            other = found.get(_key(call), one)
            both = tuple(a and b for a, b in zip(one.tensors, other.tensors, strict=True))
            found[_key(call)] = OneRow(both, one.steps and other.steps)
    return found


def _one_row(schedule: Schedule, kernel: Kernel, call: Call) -> OneRow:
    tensors = (*(kernel.reads[i].tensor for i in call.inputs), kernel.output)
    graph = schedule.graph
    return OneRow(
        tuple(graph.tensors[t].rows == 1 and schedule.ring(t) is None for t in tensors),
        rows_of(graph, kernel) == 1,
    )


class Specialisations:
    """The specialised functions of a model, each written once."""

    def __init__(self, schedule: Schedule) -> None:
        self._one_rows = one_rows(schedule)
        self._texts: dict[str, str] = {}

    def symbol(self, call: Call) -> str:
        """The function that a layer calls for `call`."""
        parameters, body = _specialised(call, self._one_rows[_key(call)])
        text = f"({parameters}) {{\n{body}\n}}"
        digest = hashlib.sha256(f"{call.symbol}{text}".encode()).hexdigest()[:8]
        symbol = f"{call.function}_{digest}"
        self._texts[symbol] = (
            f"{call.made_by}#ifndef {symbol}\n#define {symbol} TN_VARIANT({symbol})\n"
            f"TN_SHARED void {symbol}{text}\n#endif"
        )
        return symbol

    def texts(self) -> Iterable[str]:
        """Their C, in the order of first use."""
        return self._texts.values()


def _specialised(call: Call, one: OneRow) -> tuple[str, str]:
    """Parameters and body."""
    literals = [(field, call.fields[field]) for field in call.literals]
    inputs = [f"in{i}" if len(call.inputs) > 1 else "in" for i in range(len(call.inputs))]
    scratch = ["scratch"] if call.scratch else []
    parameters = [f"const {call.layer_type} *layer", "uint8_t *arena", "const tn_place *places"]
    parameters += [f"void *{s}" for s in scratch] + ["int32_t y_begin", "int32_t y_end"]
    arguments = ["&g" if literals else "layer", *inputs, "out", *scratch, "y_begin", "y_end"]
    lines = [
        f"    const tn_rows {rows} = {'tn_one_row_at' if alone else 'tn_rows_at'}"
        f"(arena, &places[{i}]);"
        for i, (rows, alone) in enumerate(zip([*inputs, "out"], one.tensors, strict=True))
    ]
    if literals:
        lines.append(f"    {call.layer_type} g = *layer;")
        lines += [f"    g.{field} = {value};" for field, value in literals]
    if one.steps:
        lines.append("    y_begin = 0, y_end = 1;")
    lines.append(f"    {call.symbol}({', '.join(arguments)});")
    half = len(parameters) - 2
    listed = ", ".join(parameters[:half]) + ",\n    " + ", ".join(parameters[half:])
    return f"\n    {listed}", "\n".join(lines)
