"""Quantisation-aware training: a graph to train, then the program that it became.

prepared = prepare_qat(module, example_inputs)
prepared.train()
...                          # the training loop, as for the module itself
program = convert(prepared)  # then codegen.frontends.pytorch.quantize.save, or thumbnet.compile
"""

from __future__ import annotations

import operator
from collections.abc import Container, Mapping
from dataclasses import dataclass

import torch
from torch.fx import GraphModule, Node

from thumbnet.codegen.errors import DataError, UnsupportedError
from thumbnet.codegen.frontends.pytorch.aten import arguments_of, describe, operator_of
from thumbnet.codegen.frontends.pytorch.canonical import spell_out_batch_norms
from thumbnet.codegen.frontends.pytorch.capture import (
    capture,
    check_weights,
    example_tensors,
    has_free_batch,
    on_cpu,
)
from thumbnet.codegen.frontends.pytorch.operators import CONVOLUTIONS, is_folded
from thumbnet.codegen.frontends.pytorch.quantize import (
    check_input_names,
    check_ranges,
    converted,
    quiet,
)

with quiet():
    from torch.export import ExportedProgram
    from torchao.quantization.pt2e import FakeQuantizeBase
    from torchao.quantization.pt2e.quantize_pt2e import prepare_qat_pt2e

    from thumbnet.codegen.frontends.pytorch.quantizer import FixedScale, ThumbnetQuantizer

_KEPT = "thumbnet"  # where a prepared graph keeps (example inputs, the module's name)
_PAUSED = "thumbnet_paused"  # and, in eval mode, observers that train() switches on again
_TRAINING = {"batch_norm": 5, "dropout": 2, "feature_dropout": 2, "alpha_dropout": 2}  # argument


def prepare_qat(
    module: torch.nn.Module,
    example_inputs: object,
    *,
    input_quantization: Mapping[str, FixedScale] | None = None,
) -> GraphModule:
    """The module with quantisation simulated, to train and then to `convert`.

    It takes batches, `train()` and `eval()` switch it, and it may be moved to an accelerator.
    Training it trains the module, whose parameters and statistics it shares (a module that lies on
    an accelerator is copied). `prepared.apply(torchao.quantization.pt2e.disable_observer)` freezes
    the ranges, in training mode. Raises ThumbnetError.
    """
    name = type(module).__name__
    examples = example_tensors(example_inputs, name)
    check_weights(module, name)
    _check_momentum(module, name)
    with quiet():
        graph = capture(on_cpu(module), examples, name, training=True)
        check_input_names(graph, input_quantization, name)
        if not has_free_batch(graph):
            raise DataError(
                f"{name}: its forward fixes the batch at 1, so it cannot be trained; write "
                "x.flatten(1) or x.view(x.size(0), -1) where a shape is computed"
            )
        _check_fused(graph, name)
        numbers = _batch_norm_numbers(graph)
        prepared = prepare_qat_pt2e(graph, ThumbnetQuantizer(qat=True, inputs=input_quantization))
    _restore_batch_norm_numbers(prepared, numbers)
    trainable = Prepared(prepared, prepared.graph)
    trainable.meta = {**prepared.meta, _KEPT: (examples, name)}
    trainable.train()
    return trainable


def convert(prepared: GraphModule) -> ExportedProgram:
    """The quantised program of batch 1 of a graph that `prepare_qat` made and that was trained.

    The graph is used up. Raises ThumbnetError.
    """
    if _KEPT not in prepared.meta:
        raise DataError("convert takes what prepare_qat returned, and uses it up")
    examples, name = prepared.meta[_KEPT]
    _check_trained(prepared, name)
    del prepared.meta[_KEPT]
    with quiet():
        prepared.cpu()
        prepared.eval()
        with torch.no_grad():
            _fold_batch_norms(prepared)
        return converted(prepared, examples, name)


def _check_momentum(module: torch.nn.Module, model: str) -> None:
    """Raises UnsupportedError for a batch norm that counts its batches."""
    for path, part in module.named_modules():
        if getattr(part, "momentum", 0.1) is None and hasattr(part, "running_var"):
            raise UnsupportedError(
                f"{model}: module '{path}': a batch norm with momentum None cannot be trained with "
                "quantisation; give it a number, as 0.1"
            )


def _check_fused(graph: GraphModule, model: str) -> None:
    """Raises UnsupportedError for a layer that is used twice, each time before a batch norm, and
    for a batch norm by whose factor torchao would divide zero."""
    for node in graph.graph.nodes:
        layer = node.args[0] if operator_of(node) == "batch_norm" else None
        if not isinstance(layer, Node) or operator_of(layer) not in CONVOLUTIONS:
            continue
        if len(layer.users) == 1 and not is_folded(node):
            raise UnsupportedError(
                f"{model}: {describe(layer)}: torchao cannot train a layer with quantisation that "
                "is used more than once before batch norms; give every use its own"
            )
        if len(layer.users) == 1 and not _value(graph, arguments_of(node)["weight"]).all():
            raise UnsupportedError(
                f"{model}: {describe(node)}: torchao divides by its weight, which holds zeros; "
                "give those a small number, as 1e-3"
            )


def _check_trained(prepared: GraphModule, model: str) -> None:
    """Raises DataError for parameters that are not finite and for ranges that nothing set."""
    for name, parameter in prepared.named_parameters():
        if not torch.isfinite(parameter).all():
            raise DataError(f"{model}: training left NaN or infinity in '{name}'")
    check_ranges(prepared, model)


class Prepared(GraphModule):  # type: ignore[misc]  # torch is not followed
    """A graph that `train()` and `eval()` switch as they switch the module; so are its copies."""

    def train(self, mode: bool = True) -> Prepared:
        """nn.Module.train does not reach the operators of an exported graph; this does.

        In eval mode ranges stand still, too; observers that were switched off stay so.
        """
        observers = [m for m in self.modules() if isinstance(m, FakeQuantizeBase)]
        if mode:
            for observer in self.meta.pop(_PAUSED, []):
                observer.enable_observer()
        elif _PAUSED not in self.meta:
            self.meta[_PAUSED] = [m for m in observers if bool(m.observer_enabled[0])]
            for observer in observers:
                observer.disable_observer()
        for node in self.graph.nodes:
            place = _TRAINING.get(operator_of(node))
            if node.op == "call_function" and place is not None:
                arguments = list(arguments_of(node).values())
                arguments[place] = mode
                node.args, node.kwargs = tuple(arguments), {}
        self.training = mode
        self.recompile()
        return self


# ---- batch norms ---------------------------------------------------------------------------

Numbers = tuple[float, float]  # momentum, eps


def _batch_norm_numbers(graph: GraphModule) -> dict[str, Numbers]:
    """Momentum and eps of each batch norm, by the name of its running variance."""
    found = {}
    for node in graph.graph.nodes:
        if operator_of(node) == "batch_norm":
            a = arguments_of(node)
            found[str(a["running_var"].target)] = (float(a["momentum"]), float(a["eps"]))
    return found


def _restore_batch_norm_numbers(prepared: GraphModule, numbers: Mapping[str, Numbers]) -> None:
    """torchao's fusion writes its own momentum and eps into batch norms after convolutions."""
    for node in prepared.graph.nodes:
        if operator_of(node) != "batch_norm":
            continue
        a = arguments_of(node)
        variance = a["running_var"]
        a["momentum"], a["eps"] = numbers[str(variance.target)]
        node.args, node.kwargs = tuple(a.values()), {}
        for user in list(variance.users):
            if operator_of(user) == "add":
                user.args = (variance, a["eps"])
    prepared.recompile()


@dataclass(frozen=True)
class _Fused:
    """A layer and the nodes of its parameters, before a batch norm."""

    layer: Node
    weight: Node
    bias: Node | None


def _fold_batch_norms(prepared: GraphModule) -> None:
    """Folds batch norms into the layers before them, and spells out the others.

    convert_pt2e would fold those after convolutions, but takes half a minute to look for them.
    Ranges of weights are then observed once more, as the last training step changed them.
    """
    graph, changed = prepared.graph, set()
    for node in list(graph.nodes):
        fused = _fused_layer(node)
        if fused is None:
            continue
        layer, a = fused.layer, arguments_of(node)
        mean, variance, gamma, beta = (
            _value(prepared, a[name]) for name in ("running_mean", "running_var", "weight", "bias")
        )
        slope = gamma * torch.rsqrt(variance + a["eps"])
        shift = mean if fused.bias is None else mean - _value(prepared, fused.bias)
        weight = _value(prepared, fused.weight)
        observer = layer.args[1]
        assert isinstance(observer, Node)
        with graph.inserting_before(observer):
            scaled = weight * slope.reshape(-1, *([1] * (weight.dim() - 1)))
            observer.args = (_buffer(prepared, f"_{layer.name}_weight", scaled),)
        with graph.inserting_before(layer):
            made = _buffer(prepared, f"_{layer.name}_bias", beta - shift * slope)
        layer.args = (*layer.args[:2], made, *layer.args[3:])
        node.replace_all_uses_with(layer)
        if operator_of(layer) == "linear":  # it was observed without the batch norm
            changed.add(observer)
    graph.eliminate_dead_code()
    spell_out_batch_norms(prepared)
    _observe_constants(prepared, changed)


def _fused_layer(batch_norm: Node) -> _Fused | None:
    """The layer that a batch norm goes into: as it stands if dense; as torchao wrote it if a
    convolution, conv(x, observed(weight * s)) / s + bias."""
    if batch_norm.op != "call_function" or operator_of(batch_norm) != "batch_norm":
        return None
    x, bias = batch_norm.args[0], None
    assert isinstance(x, Node)
    if operator_of(x) == "linear" and is_folded(batch_norm):
        observer, bias = x.args[1], x.args[2] if len(x.args) > 2 else None
        assert isinstance(observer, Node)
        return _Fused(x, observer.args[0], bias)
    if operator_of(x) == "add":
        x, shaped = x.args[:2]
        bias = shaped.args[0] if isinstance(shaped, Node) else None
    layer = x.args[0] if isinstance(x, Node) and operator_of(x) == "div" else None
    if not isinstance(layer, Node) or operator_of(layer) not in CONVOLUTIONS:
        return None
    observer = layer.args[1]
    scaled = observer.args[0] if isinstance(observer, Node) and observer.args else None
    if not isinstance(scaled, Node) or operator_of(scaled) != "mul":
        return None
    return _Fused(layer, scaled.args[0], bias)


def _observe_constants(prepared: GraphModule, changed: Container[Node]) -> None:
    """Shows parameters to their observers: the `changed`, and where training had not stopped it."""
    live = prepared.meta.get(_PAUSED, [])
    for node in prepared.graph.nodes:
        observed = node.args[0] if node.op == "call_module" and node.args else None
        if isinstance(observed, Node) and observed.op == "get_attr":
            module = prepared.get_submodule(str(node.target))
            if node in changed or any(module is m for m in live):
                module.enable_observer()
                module(_value(prepared, observed))


def _value(prepared: GraphModule, node: Node) -> torch.Tensor:
    value = operator.attrgetter(str(node.target))(prepared)
    assert isinstance(value, torch.Tensor)
    return value.detach()


def _buffer(prepared: GraphModule, name: str, value: torch.Tensor) -> Node:
    prepared.register_buffer(name, value)
    made: Node = prepared.graph.get_attr(name)
    return made
