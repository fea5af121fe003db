"""The header that firmware includes: sizes, accessors, scales, and where the model came from."""

from __future__ import annotations

from dataclasses import dataclass

from thumbnet.codegen.emit_c import ctype
from thumbnet.codegen.graph import Tensor
from thumbnet.codegen.kernel import FEED
from thumbnet.codegen.schedule import CONTROL, Schedule

_RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}


@dataclass(frozen=True)
class Edge:
    """One input or output as firmware sees it."""

    name: str
    accessor: str  # e.g. kws_input, kws_output_scores
    tensor: Tensor
    offset: int  # bytes into the arena
    is_float: bool  # the source model had float32 here
    is_input: bool
    survives: bool = True  # an input's bytes are intact after a run
    is_fed: bool = False  # it comes row by row and has no place of its own

    @property
    def suffix(self) -> str:
        """The accessor without the model's name, e.g. input_left."""
        return ("input" if self.is_input else "output") + self._label

    @property
    def _label(self) -> str:
        kind = "_input" if self.is_input else "_output"
        return self.accessor[self.accessor.rindex(kind) + len(kind) :]


def edges_of(schedule: Schedule, name: str, survives: dict[str, bool]) -> list[Edge]:
    """Inputs, then outputs."""
    graph = schedule.graph
    edges = []
    for is_input in (True, False):
        tensors = graph.inputs if is_input else graph.outputs
        public = graph.input_names if is_input else graph.output_names
        floats = graph.float_inputs if is_input else graph.float_outputs
        for tensor in tensors:
            label = f"_{public[tensor]}" if len(tensors) > 1 else ""
            edges.append(
                Edge(
                    name=public[tensor],
                    accessor=f"{name}_{'input' if is_input else 'output'}{label}",
                    tensor=graph.tensors[tensor],
                    offset=schedule.storage(tensor).offset,
                    is_float=tensor in floats,
                    is_input=is_input,
                    survives=survives.get(tensor, True),
                    is_fed=is_input and any(k.kind == FEED for k in schedule.kernels),
                )
            )
    return edges


def emit_header(
    schedule: Schedule,
    name: str,
    banner: str,
    edges: list[Edge],
    *,
    stack_bytes: int | None,
    weights_crc: int,
) -> str:
    """The model's .h file, for C and C++."""
    upper = name.upper()
    stack = (
        "/* Worst stack of any of these functions, in bytes. */\n"
        f"#define {upper}_STACK_SIZE {stack_bytes}"
        if stack_bytes is not None
        else f"/* {upper}_STACK_SIZE is not known: the target's compiler was absent. */"
    )
    control = CONTROL in schedule.storages
    fed = any(e.is_fed for e in edges)
    init = (
        "/* Resets the state that the model keeps between calls; call it before the first run."
        f"{_window(schedule)} */\n"
        f"void {name}_init(uint8_t *arena);\n\n"
        if schedule.graph.states
        else ""
    )
    return f"""{banner}

#ifndef {upper}_H
#define {upper}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

/* Bytes of RAM that the caller gives: inputs, outputs, state and everything between. */
#define {upper}_ARENA_SIZE {schedule.arena_bytes}
#define {upper}_ARENA_ALIGN __attribute__((aligned(8)))
{stack}
/* CRC-32 of the constants, to tell which model a board holds. */
#define {upper}_WEIGHTS_CRC 0x{weights_crc:08x}u

{init}{_drive(schedule, name, control, fed)}
{chr(10).join(_edge(name, e) for e in edges)}
#ifdef __cplusplus
}}
#endif

#endif
"""


def _window(schedule: Schedule) -> str:
    graph = schedule.graph
    if not graph.window_rows:
        return ""
    rows = graph.tensors[graph.inputs[0]].shape[1]
    return (
        f"\n * A run takes the {rows} newest rows and gives the outputs of the window of the last "
        f"{graph.window_rows} rows;\n * this fills the window with rows of the input's zero point "
        "by running the model on them."
    )


def _drive(schedule: Schedule, name: str, control: bool, fed: bool) -> str:
    """The functions that run the model."""
    run = f"""/* Runs the model once on the inputs in the arena. It cannot fail. */
void {name}_run(uint8_t *arena);
"""
    if not control:
        return run
    if not fed:
        return f"""{run}
/* The same in pieces: call {name}_begin, then {name}_step until it returns 1. */
void {name}_begin(uint8_t *arena);
int {name}_step(uint8_t *arena);
"""
    tensor = schedule.graph.tensors[schedule.kernels[0].output]
    upper = name.upper()
    return f"""/* The input comes row by row: call {name}_begin, then {name}_feed for each of the
 * {upper}_INPUT_ROWS rows, in order; it returns 1 when the output is ready. A row has
 * {upper}_INPUT_ROW_SIZE elements of {ctype(tensor.dtype)} and is not needed after the call. */
void {name}_begin(uint8_t *arena);
int {name}_feed(uint8_t *arena, const void *row);

/* The same for a whole input that lies anywhere. */
void {name}_run_rows(uint8_t *arena, const void *input);

#define {upper}_INPUT_ROWS {tensor.rows}
#define {upper}_INPUT_ROW_SIZE {tensor.elements // tensor.rows} /* elements */
"""


def _edge(name: str, edge: Edge) -> str:
    tensor, element = edge.tensor, ctype(edge.tensor.dtype)
    prefix = f"{name}_{edge.suffix}".upper()
    const = "" if edge.is_input else "const "
    fate = ""
    if edge.is_fed:
        fate = " It is fed row by row."
    elif edge.is_input:
        fate = " It survives a run." if edge.survives else " A run overwrites it."
    origin = "; float32 in the source model" if edge.is_float else ""
    shape = ", ".join(map(str, tensor.shape))
    lines = [
        f"/* {'Input' if edge.is_input else 'Output'} '{edge.name}': {tensor.dtype} "
        f"[{shape}]{origin}.{fate}",
        " * real = SCALE * (q - ZERO_POINT). */",
        f"#define {prefix}_SIZE {tensor.elements} /* elements */",
        f"#define {prefix}_RANK {len(tensor.shape)}",
        f"#define {prefix}_SHAPE {{{shape}}}",
        f"#define {prefix}_SCALE {float(tensor.scale)!r}f",
        f"#define {prefix}_ZERO_POINT {tensor.zero_point}",
    ]
    if not edge.is_fed:
        lines += [
            f"static inline {const}{element} *{edge.accessor}({const}uint8_t *arena) {{",
            f"    return ({const}{element} *)(arena + {edge.offset});",
            "}",
        ]
    lines.append(_quantizer(name, edge) if edge.is_input else _dequantizer(name, edge))
    return "\n".join(lines) + "\n"


def _quantizer(name: str, edge: Edge) -> str:
    low, high = _RANGES[edge.tensor.dtype]
    element, zero = ctype(edge.tensor.dtype), edge.tensor.zero_point
    label = edge.suffix
    prefix = f"{name}_{label}".upper()
    return f"""/* Rounds half away from zero and saturates. */
static inline {element} {name}_quantize_{label}(float real) {{
    const float scaled = real / {prefix}_SCALE;
    if (!(scaled > {float(low - zero)!r}f)) {{
        return ({element})({low});
    }}
    if (scaled >= {float(high - zero)!r}f) {{
        return ({element}){high};
    }}
    int32_t q = (int32_t)scaled;
    const float rest = scaled - (float)q;
    q += rest >= 0.5f ? 1 : (rest <= -0.5f ? -1 : 0);
    return ({element})(q + {prefix}_ZERO_POINT);
}}"""


def _dequantizer(name: str, edge: Edge) -> str:
    element, label = ctype(edge.tensor.dtype), edge.suffix
    prefix = f"{name}_{label}".upper()
    return f"""static inline float {name}_dequantize_{label}({element} q) {{
    return {prefix}_SCALE * (float)((int32_t)q - {prefix}_ZERO_POINT);
}}"""
