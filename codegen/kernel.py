"""How a lowered operator tells the scheduler and the C emitter what it is.

A lowering (`codegen/lowering/`) turns one operator of the graph into a `Kernel`: which C functions
of `runtime/` it calls, with which layer descriptor and constants, which input rows each output row
needs, and what its output may overwrite while it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Constant:
    """A constant array of a layer, packed in the order in which the kernel reads it.

    Emitted as a 4-byte aligned `static const CTYPE NAME[]`; its bytes, rounded up to 4, are the
    layer's share of `flash.weights`.
    """

    ctype: str  # int8_t, uint8_t, int16_t, int32_t ...
    data: NDArray[np.generic]  # one-dimensional


@dataclass(frozen=True)
class RowWindow:
    """Output row y reads input rows [y * stride - before, y * stride - before + size), clipped."""

    stride: int
    before: int
    size: int


@dataclass(frozen=True)
class Overlap:
    """What an operator's output may overwrite of one of its inputs while a band of rows runs.

    mode "none": nothing. mode "rows": rows run in ascending order, so output row y may lie on any
    input row that no output row >= y reads. mode "elements": as "rows", and inside a row the kernel
    reads input unit u before it writes output unit u, units ascending, so the two rows may overlap
    where the end of output unit u is not above the start of input unit u + 1 (units are
    `input_unit` and `output_unit` bytes).
    """

    mode: str = "none"
    input_unit: int = 0
    output_unit: int = 0


@dataclass(frozen=True)
class Read:
    """One activation input of a kernel. `window` None: every output row needs every input row."""

    tensor: str
    window: RowWindow | None
    overlap: Overlap = Overlap()


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a C kernel, over a band of output rows.

    The C kernel is `static inline` in `runtime/HEADER` and has the signature

        void FUNCTION(const LAYER_TYPE *layer, tn_rows in..., tn_rows out, [void *scratch,]
                      int32_t y_begin, int32_t y_end)

    with one `tn_rows` for each of `inputs` (indices into Kernel.reads), `scratch` (4-byte aligned)
    only when `scratch` is true. `fields` initialise the layer descriptor, in the order of its C
    members; those named in `literals` are compiled into the specialisation. With `numbers` N, M ...
    HEADER has a macro of FUNCTION in capitals that makes the kernel for them, with `assembly` bytes
    of code of its own on cores with the DSP extension: FUNCTION is tn_KERNEL_s8, the kernel's name
    tn_KERNEL_N_M_s8. `parts` are macros that make what it calls, each with its numbers.
    """

    function: str
    header: str
    layer_type: str
    fields: Mapping[str, int | Constant | tuple[int, ...]]
    inputs: tuple[int, ...]
    literals: tuple[str, ...] = ()
    scratch: bool = False
    numbers: tuple[int, ...] = ()
    parts: tuple[tuple[str, tuple[int, ...]], ...] = ()
    assembly: int = 0

    @property
    def symbol(self) -> str:
        """The name of the C kernel."""
        stem, _, kind = self.function.rpartition("_")
        return "_".join([stem, *map(str, self.numbers), kind])

    @property
    def made_by(self) -> str:
        """The C that makes it and its parts, each once in a file; empty where HEADER has it."""
        if not self.numbers:
            return ""
        return "".join(map(_made, (*self.parts, (self.function.upper(), self.numbers))))


def _made(macro: tuple[str, tuple[int, ...]]) -> str:
    name, numbers = macro
    made = "_".join(["MADE", name, *map(str, numbers)])
    listed = ", ".join(map(str, numbers))
    return f"#ifndef {made}\n#define {made}\n{name}({listed})\n#endif\n"


FEED = "FEED"  # the kind of the pseudo kernel whose rows the caller brings, one at a time


@dataclass(frozen=True, eq=False)
class Kernel:
    """One lowered operator: its calls run one after the other for each band of rows.

    Rows are output rows, or, where `unit_rows` is given, rows of its only input: then the kernel is
    a reducer that takes input rows as they come, keeps what it has so far in its scratch from its
    first step to its last, and writes its one output row in the last.
    """

    name: str  # the operator's
    kind: str
    reads: tuple[Read, ...]
    output: str
    calls: tuple[Call, ...]
    scratch_bytes: int = 0
    macs: int = 0
    band: str = "any"  # "any": rows may be cut into bands; "whole": all rows in one step
    unit_rows: int = 0
    as_reducer: Kernel | None = None  # the same operator as a reducer, where there is one
    with_less_scratch: Kernel | None = None  # a slower form, where there is one
    form: str = ""  # what the form is called, where it is not the usual one
    faster: tuple[Kernel, ...] = ()  # forms that may take less time and take more flash
    # The same with an int16 output, and over an int16 input, that hold int8 values.
    widened_output: Kernel | None = None
    widened_input: Kernel | None = None
