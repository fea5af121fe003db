"""Bytes of flash of a schedule's constants, which are exact, and of its code, an estimate."""

from __future__ import annotations

from collections.abc import Iterable

from thumbnet.codegen.cycles import cycle_model
from thumbnet.codegen.emit_c import constant_key, state_constant
from thumbnet.codegen.kernel import Call, Constant, Kernel
from thumbnet.codegen.loop_counts.work import Counts
from thumbnet.codegen.schedule import Schedule, align

TRAINED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_LIKE = {"cortex-m0plus": "cortex-m0", "cortex-m7": "cortex-m4", "cortex-m33": "cortex-m4"}


def weights_bytes(schedule: Schedule, *, trained_differ: bool = False) -> int:
    """Bytes of the constants in the generated C: `flash.weights`; see `constant_bytes`."""
    resets = (state_constant(state) for state in schedule.graph.states)
    kept = [constant for constant in resets if constant is not None]
    return constant_bytes(schedule.kernels, kept, trained_differ=trained_differ)


def constant_bytes(
    kernels: Iterable[Kernel], others: Iterable[Constant] = (), *, trained_differ: bool = False
) -> int:
    """Bytes of constants, of which equal ones are stored once; with `trained_differ` those of
    convolutions and dense layers are never taken for equal."""
    shared, own = list(others), 0
    for kernel in kernels:
        fields = (field for call in kernel.calls for field in call.fields.values())
        constants = [field for field in fields if isinstance(field, Constant)]
        if trained_differ and kernel.kind in TRAINED:
            own += sum(align(constant.data.nbytes) for constant in constants)
        else:
            shared += constants
    return own + sum({constant_key(c): align(c.data.nbytes) for c in shared}.values())


# ---- code, an estimate -------------------------------------------------------------------------


def estimated_code(schedule: Schedule, target: str, optimize: str = "balanced") -> int:
    """Bytes of code, descriptors and step tables, estimated for the compiler that was fitted."""
    return code_bytes(code_counts(schedule), target, optimize)


def kernel_code_bytes(kernels: Iterable[Kernel], target: str) -> int:
    """The same of kernels, however they are scheduled; 0 for the host."""
    return code_bytes(kernel_code(kernels), target)


def code_bytes(linked: Counts, target: str, optimize: str = "balanced") -> int:
    """The same of what is linked."""

    def total(name: str) -> float:
        return sum(n * cycle_model().get(f"{name}:{what}", 0.0) for what, n in linked.items())

    usual = total(_LIKE.get(target, target))
    if optimize != "size":
        return round(usual)
    return round(usual * total("size:cortex-m4") / total("cortex-m4"))


def code_counts(schedule: Schedule) -> Counts:
    """What makes code, and how much of it there is."""
    counts = kernel_code(schedule.kernels)
    counts["bytes"] += sum(align(2 * len(t)) for t in {r.table for r in schedule.rings.values()})
    for stage in schedule.stages:
        steps = stage.end_step - stage.first_step
        kernels = stage.end_kernel - stage.first_kernel
        if steps > 1:
            counts["stage"] = counts.get("stage", 0) + 1
            counts["case"] = counts.get("case", 0) + kernels
            counts["bytes"] += align(steps)
    return counts


def kernel_code(kernels: Iterable[Kernel]) -> Counts:
    """The share of the kernels, however they are scheduled."""
    counts: Counts = {"image": 1, "bytes": 0, "layer": 0, "argument": 0}
    seen: set[tuple[object, ...]] = set()
    functions: set[str] = set()
    for kernel in kernels:
        counts["layer"] += 1
        for call in kernel.calls:
            counts["bytes"] += _descriptor_bytes(call)
            counts["argument"] += len(call.inputs) + 1
            literals = tuple((name, call.fields[name]) for name in call.literals)
            key = (call.symbol, literals)
            if key in seen:
                continue
            if call.function not in functions:
                functions.add(call.function)
                counts[call.function] = 1
            else:
                more = f"{call.function}.more"
                counts[more] = counts.get(more, 0) + 1
            counts["assembly"] = counts.get("assembly", 0) + call.assembly
            seen.add(key)
    return counts


def _descriptor_bytes(call: Call) -> int:
    return 4 * sum(len(v) if isinstance(v, tuple) else 1 for v in call.fields.values())
