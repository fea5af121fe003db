"""C that runs layers in the order of a table: stages, and models that are fed or stepped.

A row-fed or stepped model keeps its place in the arena: counters, int16_t or int32_t, of the next
step and then, for each kernel, of the row that comes next (`CONTROL` in schedule.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from thumbnet.codegen.kernel import FEED
from thumbnet.codegen.schedule import CONTROL, Schedule, Step, counter_bytes
from thumbnet.codegen.streaming import rows_of


def wrapped(texts: Sequence[str], width: int) -> Iterator[str]:
    """Lines of comma separated items, indented by four."""
    line = "   "
    for text in texts:
        if len(line) + len(text) + 2 > width:
            yield line
            line = "   "
        line += f" {text},"
    yield line


def step_order(symbol: str, layers: Sequence[int]) -> str:
    """The table of which layer each step runs; one idle entry where there is no step."""
    kind = "uint8_t" if max(layers, default=0) < 256 else "uint16_t"
    table = "\n".join(wrapped([str(i) for i in layers or [0]], 100))
    return f"static const {kind} {symbol}[{max(len(layers), 1)}] = {{\n{table}\n}};"


def counter_type(schedule: Schedule) -> str:
    """The C type that can count all steps and rows."""
    rows = max((rows_of(schedule.graph, kernel) for kernel in schedule.kernels), default=0)
    return f"int{8 * counter_bytes(len(schedule.steps), rows)}_t"


def step_cases(
    schedule: Schedule, symbols: Sequence[str], first_kernel: int, steps: Sequence[Step]
) -> str:
    """A case for each layer that runs its next band from row y on and counts on in `row`."""
    cases = []
    counter = counter_type(schedule)
    for i, symbol in enumerate(symbols):
        kernel = first_kernel + i
        if schedule.kernels[kernel].kind == FEED:
            continue
        rows = rows_of(schedule.graph, schedule.kernels[kernel])
        band = max(s.y_end - s.y_begin for s in steps if s.kernel == kernel)
        end = f"y + {band}" if rows % band == 0 else f"tn_min(y + {band}, {rows})"
        cases.append(
            f"        case {i}:\n            {symbol}(arena, y, {end});\n"
            f"            row[{i}] = ({counter})(y + {band});\n            break;"
        )
    return "\n".join(cases) or "        default:\n            (void)y;\n            break;"


def emit_program(schedule: Schedule, name: str, symbols: Sequence[str], fed_place: str) -> str:
    """NAME_begin, and NAME_feed with NAME_run_rows or NAME_step with NAME_run.

    `symbols` are the layer functions in order, without the FEED kernel, which is the first;
    `fed_place` is the tn_place of the rows that are fed.
    """
    fed = bool(schedule.kernels) and schedule.kernels[0].kind == FEED
    steps, control = schedule.steps, schedule.storages[CONTROL]
    layers = ["", *symbols] if fed else list(symbols)
    order = step_order(f"{name}_order", [s.kernel for s in steps])
    count, counter = len(steps), counter_type(schedule)
    advance = f"""{order}

/* The counters: the next step, then the next row of each layer. */
static {counter} *{name}_control(uint8_t *arena) {{
    return ({counter} *)(void *)(arena + {control.offset});
}}

static TN_NOINLINE void {name}_advance(uint8_t *arena) {{
    {counter} *const next = {name}_control(arena);
    {counter} *const row = next + 1;
    const int32_t layer = {name}_order[*next];
    const int32_t y = row[layer];
    *next = ({counter})(*next + 1);
    switch (layer) {{
{step_cases(schedule, layers, 0, steps)}
    }}
}}"""
    if fed:
        return advance + _fed(schedule, name, count, fed_place)
    return advance + _stepped(control.nbytes, name, count)


def _stepped(control_bytes: int, name: str, count: int) -> str:
    return f"""

void {name}_begin(uint8_t *arena) {{
    memset({name}_control(arena), 0, {control_bytes});
}}

int {name}_step(uint8_t *arena) {{
    if (*{name}_control(arena) < {count}) {{
        {name}_advance(arena);
    }}
    return *{name}_control(arena) >= {count};
}}

void {name}_run(uint8_t *arena) {{
    {name}_begin(arena);
    while (!{name}_step(arena)) {{
    }}
}}"""


def _fed(schedule: Schedule, name: str, count: int, place: str) -> str:
    tensor = schedule.graph.tensors[schedule.kernels[0].output]
    control, counter = schedule.storages[CONTROL], counter_type(schedule)
    return f"""

static const tn_place {name}_input_place = {place};

/* Runs until a row is wanted or all is done. */
static int {name}_flow(uint8_t *arena) {{
    const {counter} *const next = {name}_control(arena);
    while (*next < {count} && {name}_order[*next] != 0) {{
        {name}_advance(arena);
    }}
    return *next >= {count};
}}

void {name}_begin(uint8_t *arena) {{
    memset({name}_control(arena), 0, {control.nbytes});
    (void){name}_flow(arena);
}}

int {name}_feed(uint8_t *arena, const void *row) {{
    {counter} *const next = {name}_control(arena);
    if (*next >= {count}) {{
        return 1;
    }}
    memcpy(tn_row(tn_rows_at(arena, &{name}_input_place), next[1]), row, {tensor.row_bytes});
    next[0] = ({counter})(next[0] + 1);
    next[1] = ({counter})(next[1] + 1);
    return {name}_flow(arena);
}}

void {name}_run_rows(uint8_t *arena, const void *input) {{
    const uint8_t *row = (const uint8_t *)input;
    {name}_begin(arena);
    while (!{name}_feed(arena, row)) {{
        row += {tensor.row_bytes};
    }}
}}"""
