"""Quantisation of trained modules with torchao's PT2E flow, and .pt2 files."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule

from thumbnet.codegen.errors import DataError, ModelFormatError, ToolError
from thumbnet.codegen.frontends.pytorch.aten import describe
from thumbnet.codegen.frontends.pytorch.canonical import spell_out_batch_norms
from thumbnet.codegen.frontends.pytorch.capture import (
    Tensors,
    calibration_batches,
    capture,
    check_weights,
    example_tensors,
    export_as_it_is,
    has_free_batch,
    on_cpu,
)
from thumbnet.codegen.frontends.pytorch.operators import is_dequantize, is_quantize


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps back what torch and torchao say about themselves; errors still come through."""
    noisy = [logging.getLogger(name) for name in ("torch", "torchao", "torch.utils._pytree")]
    levels = [logger.level for logger in noisy]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in noisy:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(noisy, levels, strict=True):
                logger.setLevel(level)


with quiet():
    try:
        from torchao.quantization.pt2e import FakeQuantizeBase
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

        from thumbnet.codegen.frontends.pytorch.quantizer import (
            SMALLEST_SCALE,
            FixedScale,
            ThumbnetQuantizer,
        )
    except ImportError as error:
        raise ToolError("quantising needs torchao: pip install 'thumbnet[torch]'") from error


def quantize(
    module: torch.nn.Module,
    example_inputs: object,
    calibration: Iterable[object],
    *,
    input_quantization: Mapping[str, FixedScale] | None = None,
    observer: str = "histogram",
) -> ExportedProgram:
    """Post-training quantisation: an exported program of batch 1 whose tensors are int8.

    `example_inputs` are the arguments of one call (a tensor or a tuple), `calibration` yields
    batches like them. `input_quantization` fixes (scale, zero point) of inputs by name; `observer`
    is "histogram" (ranges that lose least) or "minmax". Raises ThumbnetError.
    """
    name = type(module).__name__
    if observer not in ("histogram", "minmax"):
        raise ToolError(f"unknown observer '{observer}': histogram or minmax")
    refuse_in_training(module, name)
    examples = example_tensors(example_inputs, name)
    check_weights(module, name)
    with quiet():
        graph = capture(on_cpu(module), examples, name, training=False)
        check_input_names(graph, input_quantization, name)
        spell_out_batch_norms(graph, even_folded=False)  # torchao folds the others
        quantizer = ThumbnetQuantizer(inputs=input_quantization, observer=observer)
        prepared = prepare_pt2e(graph, quantizer)
    count = 0
    for batch in calibration_batches(calibration, examples, name):
        _observe(prepared, batch, f"{name}: calibration batch {count}")
        count += 1
    if not count:
        raise DataError(
            f"{name}: no calibration data; give some batches of typical inputs as calibration="
        )
    check_ranges(prepared, name)
    with quiet():
        return converted(prepared, examples, name)


def refuse_in_training(module: torch.nn.Module, model: str) -> None:
    """Raises DataError for a graph that prepare_qat made."""
    if any(isinstance(part, FakeQuantizeBase) for part in module.modules()):
        raise DataError(
            f"{model} simulates quantisation already; compile what qat.convert makes of it"
        )


def check_ranges(prepared: GraphModule, model: str) -> None:
    """Raises DataError naming a value of which no observer has seen a finite range."""
    for node in prepared.graph.nodes:
        if node.op != "call_module":
            continue
        for name, limit in prepared.get_submodule(str(node.target)).named_buffers():
            if name.endswith(("min_val", "max_val")) and not torch.isfinite(limit).all():
                raise DataError(
                    f"{model}: {describe(node.args[0])}: no range was found for its values: they "
                    "overflow, or the module never ran on data"
                )


def _observe(prepared: GraphModule, batch: Tensors, label: str) -> None:
    """Runs a batch, whole or one by one. Raises DataError where the module cannot."""
    try:
        with torch.no_grad(), quiet():
            for call in [batch] if has_free_batch(prepared) else _one_by_one(batch):
                prepared(*call)
    except RuntimeError as error:
        said = str(error).strip().splitlines()[0]
        raise DataError(f"{label} does not run: {said[:200]}") from error


def save(program: ExportedProgram, path: Path) -> None:
    """Writes a .pt2 file that `thumbnet compile` reads."""
    with quiet():
        torch.export.save(program, path)


def load(path: Path) -> ExportedProgram:
    """Reads a .pt2 file. Raises ModelFormatError."""
    if not path.is_file():
        raise ModelFormatError(f"{path}: no such file")
    with quiet():
        try:
            return torch.export.load(path)
        except Exception as error:  # it raises many types
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise ModelFormatError(
                f"{path}: not a program that torch.export saved with torch {torch.__version__}: "
                f"{said[0][:200]}"
            ) from error


def is_quantized(program: ExportedProgram) -> bool:
    return any(is_quantize(node) for node in program.graph.nodes)


def check_input_names(
    graph: GraphModule, fixed: Mapping[str, FixedScale] | None, model: str
) -> None:
    names = [n.name for n in graph.graph.nodes if n.op == "placeholder"]
    for name in fixed or {}:
        if name not in names:
            raise DataError(
                f"{model}: input_quantization names '{name}'; the inputs are {', '.join(names)}"
            )


def _one_by_one(batch: Tensors) -> Iterator[Tensors]:
    for i in range(len(batch[0])):
        yield tuple(t[i : i + 1] for t in batch)


def converted(prepared: GraphModule, examples: Tensors, model: str) -> ExportedProgram:
    """The program of batch 1 that a calibrated or trained graph becomes."""
    graph = convert_pt2e(prepared)
    _give_zeros_a_scale(graph)
    _drop_unused(graph)
    return export_as_it_is(graph, examples, model)


def _give_zeros_a_scale(graph: GraphModule) -> None:
    """A tensor that was zero whenever it was observed has no range; it gets a sigmoid's."""
    for node in graph.graph.nodes:
        scale = node.args[1] if is_quantize(node) or is_dequantize(node) else None
        if isinstance(scale, float) and scale <= 2 * SMALLEST_SCALE:
            node.update_arg(1, 1 / 256)


def _drop_unused(graph: GraphModule) -> None:
    """Parameters and buffers that nothing reads, as the float weights, leave."""
    graph.graph.eliminate_dead_code()
    used = {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}
    held = (*graph.named_parameters(remove_duplicate=False),
            *graph.named_buffers(remove_duplicate=False))  # fmt: skip
    for name, _ in held:
        if name not in used:
            owner, _, attribute = name.rpartition(".")
            delattr(graph.get_submodule(owner), attribute)
    graph.recompile()
