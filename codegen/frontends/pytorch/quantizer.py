"""The quantiser that torchao's PT2E flow runs: it annotates what the kernels do.

Activations are int8 per tensor, asymmetric; weights of convolutions and dense layers int8 per
output channel, symmetric (-127..127); other constants int8 per tensor, symmetric. Biases stay
float: the lowering gives them the scale of the accumulator, as TensorFlow Lite does.

Only what computes new values is quantised anew. What moves or picks values (views, slices, max
pools, padding with zero) keeps the integers that it is given and is not annotated at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import torch
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import (
    FakeQuantize,
    FusedMovingAvgObsFakeQuantize,
    HistogramObserver,
    MinMaxObserver,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    PerChannelMinMaxObserver,
)
from torchao.quantization.pt2e.quantizer import (
    FixedQParamsQuantizationSpec,
    QuantizationAnnotation,
    QuantizationSpec,
    QuantizationSpecBase,
    Quantizer,
    SharedQuantizationSpec,
)

from thumbnet.codegen.frontends.pytorch.aten import operator_of
from thumbnet.codegen.frontends.pytorch.canonical import canonicalize
from thumbnet.codegen.frontends.pytorch.operators import (
    CONVOLUTIONS,
    FIXED_SCALE,
    Role,
    fuses_with,
    is_constant,
    is_folded,
    norm_chain,
    normalized,
    role_of,
)

ANNOTATION = "quantization_annotation"
Place: TypeAlias = Node | tuple[Node, Node]  # a node's output, or the edge from a node to its user
FixedScale = tuple[float, int]
SMALLEST_SCALE = 1e-30  # of an activation; that of one which was always zero


@dataclass(frozen=True)
class Specs:
    activation: QuantizationSpec
    shared: QuantizationSpec  # of several activations on one scale
    weight: QuantizationSpec
    constant: QuantizationSpec


def _specs(qat: bool, observer: str) -> Specs:
    # torchao's own smallest scale, 1.2e-7, would take the precision of small signals
    activations, constants = {"eps": SMALLEST_SCALE}, {"eps": 1e-12}
    if qat:
        fake = FusedMovingAvgObsFakeQuantize.with_args
        activation = fake(observer=MovingAverageMinMaxObserver, **activations)
        # an average over several tensors is the range of none of them: the extremes are of all
        shared = FakeQuantize.with_args(observer=MinMaxObserver, **activations)
        fake = partial(fake, **constants, averaging_constant=1.0)
        weight = fake(observer=MovingAveragePerChannelMinMaxObserver)
        constant = fake(observer=MovingAverageMinMaxObserver)
    else:
        found = HistogramObserver if observer == "histogram" else MinMaxObserver
        activation = shared = found.with_args(**activations)
        weight = PerChannelMinMaxObserver.with_args(**constants)
        constant = MinMaxObserver.with_args(**constants)
    return Specs(
        QuantizationSpec(torch.int8, activation, -128, 127, torch.per_tensor_affine),
        QuantizationSpec(torch.int8, shared, -128, 127, torch.per_tensor_affine),
        QuantizationSpec(torch.int8, weight, -127, 127, torch.per_channel_symmetric, ch_axis=0),
        QuantizationSpec(torch.int8, constant, -127, 127, torch.per_tensor_symmetric),
    )


class ThumbnetQuantizer(Quantizer):  # type: ignore[misc]  # torchao is not followed
    """For prepare_pt2e (`qat=False`) and prepare_qat_pt2e (`qat=True`).

    `inputs` fixes the scale and zero point of model inputs by their names; `observer` is
    "histogram" or "minmax" and tells how ranges are found in post-training quantisation.
    """

    def __init__(
        self,
        *,
        qat: bool = False,
        inputs: Mapping[str, FixedScale] | None = None,
        observer: str = "histogram",
    ) -> None:
        super().__init__()
        self.specs = _specs(qat, observer)
        self.inputs = dict(inputs or {})

    def transform_for_annotation(self, model: GraphModule) -> GraphModule:
        return canonicalize(model)

    def annotate(self, model: GraphModule) -> GraphModule:
        sharing = _Sharing(model, self.inputs)
        order = {node: i for i, node in enumerate(model.graph.nodes)}
        specs = self._specs_of(sharing, order)
        for node in model.graph.nodes:
            constants = self._constant_inputs(node)
            edges = {place[0]: spec for place, spec in specs.items()
                     if isinstance(place, tuple) and place[1] is node}  # fmt: skip
            output = specs.get(node)
            if constants or edges or output is not None:
                # every input is named: the fusion of batch norms for training counts on it
                inputs = dict.fromkeys(node.all_input_nodes) | edges | constants
                node.meta[ANNOTATION] = QuantizationAnnotation(inputs, output, False, True)
        return model

    def validate(self, model: GraphModule) -> None:
        """Nothing is left to check: what cannot be annotated was refused before."""

    def _specs_of(
        self, sharing: _Sharing, order: Mapping[Node, int]
    ) -> dict[Place, QuantizationSpecBase]:
        """Of each class of places one holds the specification, the others share it."""

        def position(place: Place) -> tuple[int, int]:
            edge = isinstance(place, tuple)
            return (order[place[1]], 0) if edge else (order[place], 1)

        specs: dict[Place, QuantizationSpecBase] = {}
        holders: dict[Place, Place] = {}
        sizes = Counter(sharing.root(place) for place in sharing.places)
        for place in sorted(sharing.places, key=position):
            root = sharing.root(place)
            if root in holders:
                specs[place] = SharedQuantizationSpec(holders[root])
                continue
            holders[root] = place
            fixed = sharing.fixed.get(root)
            specs[place] = self.specs.activation if sizes[root] == 1 else self.specs.shared
            if fixed is not None:
                specs[place] = FixedQParamsQuantizationSpec(
                    torch.int8, *fixed, -128, 127, torch.per_tensor_affine
                )
        return specs

    def _constant_inputs(self, node: Node) -> dict[Node, QuantizationSpecBase]:
        name = operator_of(node)
        if node.op != "call_function" or is_constant(node):
            return {}
        if name in CONVOLUTIONS or name == "linear":
            return {node.args[1]: self.specs.weight}
        if name in ("add", "sub", "rsub", "mul", "prelu", "maximum", "minimum"):
            return {n: self.specs.constant for n in node.all_input_nodes if is_constant(n)}
        return {}


class _Sharing:
    """Which places are quantised, and which of them share a scale (a union-find forest)."""

    def __init__(self, model: GraphModule, inputs: Mapping[str, FixedScale]) -> None:
        self.places: dict[Place, None] = {}  # in order
        self.fixed: dict[Place, FixedScale] = {}  # of roots
        self._parents: dict[Place, Place] = {}
        nodes = list(model.graph.nodes)
        inside = {n for node in nodes if normalized(node) for n in norm_chain(node)}
        live = [n for n in nodes if n.op in ("placeholder", "call_function") and n not in inside]
        live = [n for n in live if n.users and not is_constant(n)]
        for node in self._sources_of_sharing(live):
            self._add(node)  # multiples that must have a scale of their own
        for node in live:
            if node.op == "placeholder":
                self._add(node, inputs.get(node.name))
                continue
            role = role_of(node)
            if role in (None, Role.PASS, Role.SCALE) or self._is_fused_away(node):
                continue
            self._add(node, FIXED_SCALE[operator_of(node)] if role is Role.FIXED else None)
            computing = self._computing(node)
            if role_of(computing) is Role.SAME:
                source = self._source(computing.args[0])
                if source is not None:
                    self._union(source, node)
            elif role is Role.JOIN:
                self._join(node)

    def root(self, place: Place) -> Place:
        while place in self._parents:
            place = self._parents[place]
        return place

    def _add(self, place: Place, fixed: FixedScale | None = None) -> None:
        self.places[place] = None
        if fixed is not None:
            self.fixed[place] = fixed

    def _union(self, a: Place, b: Place) -> None:
        """`a` and `b` share; not both are fixed to different numbers."""
        a, b = self.root(a), self.root(b)
        if a is not b:
            self._parents[b] = a
            if b in self.fixed:
                self.fixed[a] = self.fixed[b]

    def _join(self, node: Node) -> None:
        """Inputs whose scale is fixed elsewhere are requantised on their edge, unless all agree."""
        inputs = [n for n in node.all_input_nodes if not is_constant(n)]
        sources = {n: self._source(n) for n in inputs}
        scales = {self.fixed.get(self.root(s)) if s is not None else None for s in sources.values()}
        agree = len(scales) == 1
        for n, source in sources.items():
            if source is None or (not agree and self.root(source) in self.fixed):
                self._add((n, node))
                source = (n, node)
            self._union(source, node)

    def _source(self, node: object) -> Node | None:
        """The quantised node whose integers these are."""
        while isinstance(node, Node) and node not in self.places:
            if node.op != "call_function" or role_of(node) is not Role.PASS:
                return None
            node = node.args[0]
        return node if isinstance(node, Node) else None

    @staticmethod
    def _sources_of_sharing(nodes: list[Node]) -> list[Node]:
        """Nodes of role SCALE whose values another operator computes on."""
        found = []
        for node in nodes:
            if node.op != "call_function" or role_of(node) not in (Role.SAME, Role.JOIN):
                continue
            for at in node.all_input_nodes:
                while at.op == "call_function" and role_of(at) is Role.PASS:
                    at = at.all_input_nodes[0]
                if at.op == "call_function" and role_of(at) is Role.SCALE and not is_constant(at):
                    found.append(at)
        return found

    @staticmethod
    def _is_fused_away(node: Node) -> bool:
        """Whether the node's one user is part of the same operator."""
        if len(node.users) != 1:
            return False
        user = next(iter(node.users))
        if user.op != "call_function":
            return False
        return is_folded(user) or fuses_with(node, user)

    @staticmethod
    def _computing(node: Node) -> Node:
        """The operator that a fused clamp belongs to, else the node itself."""
        producer = node.args[0] if node.args else None
        if isinstance(producer, Node) and fuses_with(producer, node):
            return producer
        return node
