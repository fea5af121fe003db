"""A module becomes a graph of aten operators (torch.export), with inputs that were looked at."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule
from torch.utils._pytree import tree_leaves

from thumbnet.codegen.errors import DataError, UnsupportedError
from thumbnet.codegen.frontends.pytorch.canonical import canonicalize
from thumbnet.codegen.frontends.pytorch.operators import check_supported

Tensors = tuple[torch.Tensor, ...]


def example_tensors(example_inputs: object, model: str) -> Tensors:
    """The inputs of one call as a tuple, cut to their first sample. Raises DataError."""
    given = _tensors(example_inputs)
    if not given:
        raise DataError(
            f"{model}: example_inputs must be a tensor or a tuple of tensors, the arguments of one "
            f"call, not {type(example_inputs).__name__}"
        )
    for i, tensor in enumerate(given):
        if not tensor.is_floating_point() or tensor.dim() == 0 or tensor.shape[0] == 0:
            raise DataError(
                f"{model}: example input {i} is {tensor.dtype} of shape {list(tensor.shape)}; give "
                "float tensors whose first axis is the batch"
            )
    return tuple(t[:1].detach().cpu().float() for t in given)


def _tensors(inputs: object) -> Tensors:
    if isinstance(inputs, torch.Tensor):
        return (inputs,)
    if isinstance(inputs, Sequence) and all(isinstance(t, torch.Tensor) for t in inputs):
        return tuple(inputs)
    return ()


def _kind(item: object) -> str:
    name = type(item).__name__
    inner = sorted({type(i).__name__ for i in item}) if isinstance(item, tuple | list) else []
    return f"a {name} of {', '.join(inner)}" if inner else name


def calibration_batches(
    calibration: Iterable[object], examples: Tensors, model: str
) -> Iterator[Tensors]:
    """Batches checked against the example inputs: same shapes but for the first axis, finite.

    An item is a tensor, or a tuple with a tensor for each input; where a model has one input a
    second item of the tuple, as the labels of a data loader, is left out. Raises DataError.
    """
    if isinstance(calibration, torch.Tensor):
        calibration = [calibration]
    if not isinstance(calibration, Iterable):
        raise DataError(
            f"{model}: calibration is {type(calibration).__name__}; give a list of batches, or "
            "what else can be iterated over"
        )
    for number, item in enumerate(calibration):
        given = item
        if len(examples) == 1 and isinstance(item, tuple | list) and item:
            given = item[0]
        batch = _tensors(given)
        if not batch:
            raise DataError(
                f"{model}: calibration batch {number} is {_kind(item)}; give a tensor, or a tuple "
                "of tensors (torch.from_numpy makes one of an array)"
            )
        wanted = " and ".join(str(["N", *t.shape[1:]]).replace("'", "") for t in examples)
        if len(batch) != len(examples):
            raise DataError(
                f"{model}: calibration batch {number} holds {len(batch)} tensor(s), the model "
                f"takes {len(examples)} of shape {wanted}"
            )
        for tensor, example in zip(batch, examples, strict=True):
            if tensor.shape[1:] != example.shape[1:] or tensor.dim() == 0:
                raise DataError(
                    f"{model}: calibration batch {number} has shape {list(tensor.shape)}, the "
                    f"model takes {wanted}"
                )
            if not torch.isfinite(tensor).all():
                raise DataError(
                    f"{model}: calibration batch {number} holds NaN or infinity; remove them"
                )
        if len({len(t) for t in batch}) != 1:
            raise DataError(f"{model}: the inputs of calibration batch {number} differ in length")
        if len(batch[0]):
            yield tuple(t.detach().cpu().float() for t in batch)


def on_cpu(module: torch.nn.Module) -> torch.nn.Module:
    """The module, or a copy of it where it lies on an accelerator."""
    devices = {tensor.device.type for tensor in (*module.parameters(), *module.buffers())}
    return module if devices <= {"cpu"} else copy.deepcopy(module).cpu()


def check_weights(module: torch.nn.Module, model: str) -> None:
    """Raises DataError naming a parameter or buffer that is not finite, or no float32."""
    for name, tensor in (*module.named_parameters(), *module.named_buffers()):
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise DataError(
                f"{model}: '{name}' holds NaN or infinity; train again or load other weights"
            )
        if tensor.is_floating_point() and tensor.dtype is not torch.float32:
            raise DataError(f"{model}: '{name}' is {tensor.dtype}; call .float() on the module")


def capture(
    module: torch.nn.Module, examples: Tensors, model: str, *, training: bool
) -> GraphModule:
    """The canonical graph of a module, as it computes in training or not.

    The batch is free where the module allows it, else 1. Raises UnsupportedError.
    """
    graph = _captured_free(module, examples, training)
    if graph is None:
        with _in_mode(module, training):
            graph = _graph_of(export_as_it_is(module, examples, model))
    graph.training = training
    canonicalize(graph)
    check_supported(graph.graph.nodes, model, training=training)
    return graph


@contextlib.contextmanager
def _in_mode(module: torch.nn.Module, training: bool) -> Iterator[None]:
    """The module in training mode or not; every part of it is left in the mode that it had."""
    before = {part: part.training for part in module.modules()}
    with contextlib.suppress(NotImplementedError):  # an exported graph has one mode for good
        module.train(training)
    try:
        yield
    finally:
        for part, mode in before.items():
            part.training = mode


def _captured_free(
    module: torch.nn.Module, examples: Tensors, training: bool
) -> GraphModule | None:
    """The graph with a free batch; None where the module needs to know its length.

    It is traced with a batch of 2, so what a module decides by the length is compared for one of 1.
    """
    two = tuple(torch.cat([t, t]) for t in examples)
    try:
        with _in_mode(module, False):
            graph = _graph_of(
                torch.export.export(module, two, dynamic_shapes=_free_batch(module, two))
            )
            if not _agree(graph, module, examples):
                return None
        if not training:
            return graph
        with _in_mode(module, True):
            return _graph_of(
                torch.export.export(module, two, dynamic_shapes=_free_batch(module, two))
            )
    except Exception:  # it raises many types, of the module's own code too
        return None


def _graph_of(program: ExportedProgram) -> GraphModule:
    graph = program.module(check_guards=False)
    assert isinstance(graph, GraphModule)
    return graph


def _agree(graph: GraphModule, module: torch.nn.Module, examples: Tensors) -> bool:
    """Whether both give the same for the examples."""
    with torch.no_grad():
        made, wanted = (
            [t for t in tree_leaves(run(*(e.clone() for e in examples)))
             if isinstance(t, torch.Tensor)]
            for run in (graph, module)
        )  # fmt: skip
    return len(made) == len(wanted) and all(
        a.shape == b.shape and torch.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True)
        for a, b in zip(made, wanted, strict=True)
    )


def _free_batch(module: torch.nn.Module, inputs: Tensors) -> dict[str, object]:
    """What torch.export calls dynamic shapes: the first axis of every argument of forward."""
    arguments = inspect.signature(module.forward).bind(*inputs).arguments
    free = {0: Dim.DYNAMIC}  # AUTO would silently fix it at 2
    return {
        name: tuple(free for _ in value) if isinstance(value, tuple) else free
        for name, value in arguments.items()
    }


def export_as_it_is(module: torch.nn.Module, examples: Tensors, model: str) -> ExportedProgram:
    """torch.export with fixed shapes. Raises UnsupportedError with what it says."""
    try:
        return torch.export.export(module, examples)
    except Exception as error:  # it raises many types, of the module's own code too
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise UnsupportedError(
            f"{model}: torch.export cannot capture it: {' '.join(said[:3])[:400]}"
        ) from error


def has_free_batch(graph: GraphModule) -> bool:
    """Whether the captured graph takes batches of any length."""
    inputs = [n for n in graph.graph.nodes if n.op == "placeholder"]
    return all(isinstance(n.meta["val"].shape[0], torch.SymInt) for n in inputs)
