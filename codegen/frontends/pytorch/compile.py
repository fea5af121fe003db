"""From a PyTorch module to a folder of C in one call: `thumbnet.compile`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from thumbnet.codegen.compile import Compiled, Options, compile_graph
from thumbnet.codegen.errors import ToolError, UnsupportedError
from thumbnet.codegen.frontends.pytorch.canonical import canonicalize
from thumbnet.codegen.frontends.pytorch.operators import check_supported
from thumbnet.codegen.frontends.pytorch.program import Lowered, lower_program
from thumbnet.codegen.frontends.pytorch.quantize import (
    is_quantized,
    load,
    quantize,
    refuse_in_training,
)
from thumbnet.codegen.passes import optimize


def compile_module(
    module_or_program: torch.nn.Module | ExportedProgram | str | Path,
    example_inputs: object = None,
    *,
    calibration: Iterable[object] | None = None,
    target: str = "cortex-m4",
    out_dir: str | Path | None = None,
    name: str | None = None,
    input_quantization: Mapping[str, tuple[float, int]] | None = None,
    **options: Any,
) -> Compiled:
    """Quantises a module after training, lowers it and writes its C into `out_dir`, by default
    into `build/` and the model's name.

    `example_inputs` are the arguments of one call (a tensor or a tuple of tensors), `calibration`
    yields batches like them. A program that is quantised already (from `quantize`, `convert` or a
    .pt2 file) needs neither. `options` are the fields of `codegen.compile.Options`: optimize,
    max_sram, max_flash, input, stepper, max_step_cycles. The model's C takes and gives images as
    NHWC; its header has scales and zero points. Raises ThumbnetError.
    """
    try:
        chosen = Options(target=target, name=name, **options)
    except TypeError as error:
        known = ", ".join(sorted(Options.__dataclass_fields__))
        raise ToolError(f"unknown option of thumbnet.compile: {error}; there are {known}") from None
    source, origin = _source(module_or_program)
    label = origin.stem
    if not isinstance(source, ExportedProgram):
        source = _quantized(source, label, example_inputs, calibration, input_quantization)
    elif not is_quantized(source):
        module = canonicalize(source.module(check_guards=False))
        check_supported(module.graph.nodes, label)
        source = _quantized(module, label, example_inputs, calibration, input_quantization)
    graph = optimize(lower_program(source, label, label).graph)
    folder = Path("build") / (name or graph.name) if out_dir is None else Path(out_dir)
    return compile_graph(graph, origin, folder, chosen)


def load_pt2(path: Path) -> Lowered:
    """The graph of a quantised .pt2 file. Raises ThumbnetError."""
    return lower_program(load(path), str(path), path.stem)


def _source(given: object) -> tuple[torch.nn.Module | ExportedProgram, Path]:
    """What was given, and what the generated files say they come from."""
    if isinstance(given, str | Path):
        return load(Path(given)), Path(given)
    if isinstance(given, ExportedProgram):
        return given, Path("model")
    if isinstance(given, torch.nn.Module):
        refuse_in_training(given, type(given).__name__)
        return given, Path(type(given).__name__)
    raise ToolError(
        f"thumbnet.compile takes an nn.Module, an exported program or a .pt2 file, not "
        f"{type(given).__name__}"
    )


def _quantized(
    module: torch.nn.Module,
    label: str,
    example_inputs: object,
    calibration: Iterable[object] | None,
    input_quantization: Mapping[str, tuple[float, int]] | None,
) -> ExportedProgram:
    missing = [
        f"{name}=" for name, value in
        (("example_inputs", example_inputs), ("calibration", calibration)) if value is None
    ]  # fmt: skip
    if missing or calibration is None:
        raise UnsupportedError(
            f"{label} is a float model and must be quantised: give {' and '.join(missing)} with "
            "typical inputs, or a program that was quantised before"
        )
    return quantize(module, example_inputs, calibration, input_quantization=input_quantization)
