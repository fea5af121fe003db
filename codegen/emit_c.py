"""The C emitter: a schedule becomes one .c and one .h that a person can read.

The .c holds constants, layer descriptors, specialised kernels (emit_kernels.py), one function for
each layer, and the run function that calls them in turn.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.emit_kernels import Specialisations
from thumbnet.codegen.emit_steps import (
    counter_type,
    emit_program,
    step_cases,
    step_order,
    wrapped,
)
from thumbnet.codegen.graph import State
from thumbnet.codegen.kernel import FEED, Call, Constant, Kernel
from thumbnet.codegen.runtime_files import runtime_version
from thumbnet.codegen.schedule import CONTROL, Ring, Schedule, Stage, Step, align

_CTYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "int32": "int32_t"}

_RUNTIME = """/* Models of one runtime version share their kernels in an image: see TN_SHARED. */
#define TN_RUNTIME {}"""


@dataclass(frozen=True)
class Layer:
    """One layer function of the generated C."""

    symbol: str
    name: str
    op: str
    macs: int
    weights_bytes: int
    form: str


@dataclass(frozen=True)
class Source:
    """The generated model file. `headers` are the runtime headers that it includes."""

    text: str
    headers: tuple[str, ...]
    layers: tuple[Layer, ...]
    weights_bytes: int
    weights_crc: int


def emit_source(schedule: Schedule, name: str, banner: str) -> Source:
    """The model's .c file; `name` is a C identifier and prefixes every symbol."""
    emitter = _Emitter(schedule, name)
    text = emitter.text(banner)
    return Source(
        text=text,
        headers=tuple(sorted({c.header for k in schedule.kernels for c in k.calls})),
        layers=tuple(emitter.layers),
        weights_bytes=emitter.weights_bytes,
        weights_crc=emitter.crc,
    )


def ctype(dtype: str) -> str:
    """The C type of one element."""
    return _CTYPES[dtype]


def constant_key(constant: Constant) -> tuple[str, bytes]:
    """Constants of equal key are stored once."""
    return constant.ctype, np.ascontiguousarray(constant.data).tobytes()


def state_constant(state: State) -> Constant | None:
    """The array that a variable is reset from; None where one repeated byte does."""
    data = np.ascontiguousarray(state.initial).reshape(-1)
    raw = data.view(np.uint8)
    return None if (raw == raw[0]).all() else Constant(ctype(str(data.dtype)), data)


class _Emitter:
    def __init__(self, schedule: Schedule, name: str) -> None:
        self.schedule = schedule
        self.name = name
        self.layers: list[Layer] = []
        self.weights_bytes = 0
        self.crc = 0
        self.specialisations = Specialisations(schedule)
        self.constants: list[str] = []
        self.constant_names: dict[tuple[str, bytes], str] = {}
        self.descriptors: list[str] = []
        self.rings: dict[tuple[int, ...], str] = {}
        self.functions: list[str] = []
        self.stages: list[str] = []

    def text(self, banner: str) -> str:
        for index, kernel in enumerate(self.schedule.kernels):
            if kernel.kind != FEED:
                self._layer(index, kernel)
        initialiser = self._initialiser()
        headers = sorted({"tn_core.h"} | {c.header for k in self.schedule.kernels for c in k.calls})
        includes = "\n".join(f'#include "thumbnet/{h}"' for h in headers)
        if CONTROL in self.schedule.storages:
            symbols = [la.symbol for la in self.layers]
            fed = self._place(self.schedule.kernels[0].output) if self.schedule.kernels else ""
            run = emit_program(self.schedule, self.name, symbols, fed)
        else:
            stages = [self._stage(i, stage) for i, stage in enumerate(self.schedule.stages)]
            calls = "\n".join(stages) or "    (void)arena;"
            run = f"void {self.name}_run(uint8_t *arena) {{\n{calls}\n}}"
        parts = [
            banner,
            f'#include "{self.name}.h"\n\n{_RUNTIME.format(runtime_version())}\n{includes}',
            _section("Constants"),
            *self.constants,
            _section("Layer descriptors"),
            *self.descriptors,
            _section("Kernels, specialised"),
            *self.specialisations.texts(),
            _section("Layers"),
            *self.functions,
            *([_section("Stages"), *self.stages] if self.stages else []),
            _section("The model"),
            *([initialiser] if initialiser else []),
            run,
        ]
        return "\n\n".join(parts) + "\n"

    # ---- layers ------------------------------------------------------------------------------

    def _layer(self, index: int, kernel: Kernel) -> None:
        number = f"{index:02d}"
        symbol = f"{self.name}_layer_{number}_{kernel.kind.lower()}"
        weights_before = self.weights_bytes
        statements = []
        for position, call in enumerate(kernel.calls):
            suffix = f"_{position}" if len(kernel.calls) > 1 else ""
            descriptor = f"{self.name}_{number}{suffix}"
            self._descriptor(descriptor, call)
            inputs = [kernel.reads[i].tensor for i in call.inputs]
            self._places(descriptor, [*inputs, kernel.output])
            arguments = [f"&{descriptor}", "arena", f"{descriptor}_places"]
            if call.scratch:
                scratch = self.schedule.scratch(index)
                arguments.append(f"arena + {scratch.offset if scratch else 0}")
            arguments += ["y_begin", "y_end"]
            statements.append(f"    {self.specialisations.symbol(call)}({', '.join(arguments)});")
        tensors = self.schedule.graph.tensors
        shapes = ", ".join(str(list(tensors[r.tensor].shape)) for r in kernel.reads)
        form = f", {kernel.form}" if kernel.form else ""
        comment = (
            f"/* {number} {kernel.kind}{form}: {shapes} -> {list(tensors[kernel.output].shape)}"
        )
        comment += f", {kernel.macs} MACs */" if kernel.macs else " */"
        number_in_manifest = len(self.layers)
        statements.insert(0, f"    TN_LAYER_BEGIN({number_in_manifest});")
        statements.append(f"    TN_LAYER_END({number_in_manifest});")
        body = "\n".join(statements)
        self.functions.append(
            f"{comment}\nstatic TN_NOINLINE void {symbol}"
            f"(uint8_t *arena, int32_t y_begin, int32_t y_end) {{\n{body}\n}}"
        )
        weights = self.weights_bytes - weights_before
        self.layers.append(
            Layer(symbol, kernel.output, kernel.kind, kernel.macs, weights, kernel.form)
        )

    def _places(self, descriptor: str, tensors: Sequence[str]) -> None:
        """Where a call's inputs and output lie."""
        places = ", ".join(self._place(tensor) for tensor in tensors)
        self.descriptors.append(
            f"static const tn_place {descriptor}_places[{len(tensors)}] = {{{places}}};"
        )

    def _place(self, tensor: str) -> str:
        """The initialiser of a tensor's tn_place."""
        schedule, ring = self.schedule, self.schedule.ring(tensor)
        row_bytes = schedule.graph.tensors[tensor].row_bytes
        slots = "NULL" if ring is None else self._ring(ring)
        return f"{{{schedule.storage(tensor).offset}, {row_bytes}, {slots}}}"

    def _ring(self, ring: Ring) -> str:
        """The table of a ring's slots; equal tables are stored once."""
        table = ring.table
        if table not in self.rings:
            self.rings[table] = f"{self.name}_ring_{len(self.rings)}"
            values = "\n".join(wrapped([str(slot) for slot in table], 100))
            self.descriptors.append(
                f"static const uint16_t {self.rings[table]}[{len(table)}] = {{\n{values}\n}};"
            )
        return self.rings[table]

    # ---- stages ------------------------------------------------------------------------------

    def _stage(self, index: int, stage: Stage) -> str:
        """The statement that runs a stage; a stage of several layers gets a function of its own."""
        steps = self.schedule.steps[stage.first_step : stage.end_step]
        if len(steps) == 1:
            layer = self.layers[steps[0].kernel].symbol
            return f"    {layer}(arena, {steps[0].y_begin}, {steps[0].y_end});"
        symbol = f"{self.name}_stage_{index}"
        self.stages.append(self._stage_function(symbol, stage, steps))
        return f"    {symbol}(arena);"

    def _stage_function(self, symbol: str, stage: Stage, steps: Sequence[Step]) -> str:
        """Runs the layers in the order of a table, each a band of rows further each time."""
        count = stage.end_kernel - stage.first_kernel
        symbols = [la.symbol for la in self.layers[stage.first_kernel : stage.end_kernel]]
        order = step_order(f"{symbol}_order", [s.kernel - stage.first_kernel for s in steps])
        cases = step_cases(self.schedule, symbols, stage.first_kernel, steps)
        return f"""{order}

static TN_NOINLINE void {symbol}(uint8_t *arena) {{
    {counter_type(self.schedule)} row[{count}] = {{0}};
    for (int32_t i = 0; i < {len(steps)}; i++) {{
        const int32_t layer = {symbol}_order[i];
        const int32_t y = row[layer];
        switch (layer) {{
{cases}
        }}
    }}
}}"""

    def _descriptor(self, symbol: str, call: Call) -> None:
        members = []
        for field, value in call.fields.items():
            if isinstance(value, Constant):
                text = self._constant(f"{symbol}_{field}", value)
            elif isinstance(value, tuple):
                text = "{" + ", ".join(map(str, value)) + "}"
            else:
                text = _integer(value)
            members.append(f"    .{field} = {text},")
        body = "\n".join(members)
        self.descriptors.append(f"static const {call.layer_type} {symbol} = {{\n{body}\n}};")

    def _constant(self, symbol: str, constant: Constant) -> str:
        """Emits the array once; layers with the same bytes share it."""
        data = np.ascontiguousarray(constant.data).reshape(-1)
        key = constant_key(constant)
        if key not in self.constant_names:
            self.constant_names[key] = symbol
            self.weights_bytes += align(data.nbytes)
            self.crc = zlib.crc32(data.tobytes(), self.crc)
            declaration = f"static const {constant.ctype} {symbol}[{data.size}] TN_WEIGHTS = {{"
            self.constants.append(f"{declaration}\n{_values(data)}\n}};")
        return self.constant_names[key]

    # ---- state -------------------------------------------------------------------------------

    def _initialiser(self) -> str:
        states = self.schedule.graph.states
        if not states:
            return ""
        body = "\n".join(self._reset(i, s) for i, s in enumerate(states))
        return f"void {self.name}_init(uint8_t *arena) {{\n{body}{self._warm_up()}\n}}"

    def _warm_up(self) -> str:
        """Runs that fill the window of a streamed graph with rows of the input's zero point."""
        graph = self.schedule.graph
        if not graph.window_rows:
            return ""
        tensor, storage = graph.tensors[graph.inputs[0]], self.schedule.storage(graph.inputs[0])
        kind = ctype(tensor.dtype)
        calls = -(-graph.window_rows // tensor.shape[1]) - 1
        return f"""
    for (int32_t call = 0; call < {calls}; call++) {{
        {kind} *input = ({kind} *)(void *)(arena + {storage.offset});
        for (int32_t i = 0; i < {tensor.elements}; i++) {{
            input[i] = {tensor.zero_point};
        }}
        {self.name}_run(arena);
    }}"""

    def _reset(self, index: int, state: State) -> str:
        storage = self.schedule.storage(state.tensor)
        constant = state_constant(state)
        if constant is None:
            filling = np.ascontiguousarray(state.initial).reshape(-1).view(np.uint8)[0]
            return f"    memset(arena + {storage.offset}, {int(filling)}, {storage.nbytes});"
        symbol = self._constant(f"{self.name}_state_{index}", constant)
        return f"    memcpy(arena + {storage.offset}, {symbol}, {storage.nbytes});"


def _integer(value: int) -> str:
    return "(-2147483647 - 1)" if value == -(2**31) else str(value)


def _values(data: NDArray[np.generic], width: int = 100) -> str:
    texts = [_integer(int(v)) for v in data.tolist()]
    return "\n".join(wrapped(texts, width))


def _section(title: str) -> str:
    return f"/* ---- {title} " + "-" * max(0, 91 - len(title)) + " */"
