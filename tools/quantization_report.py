"""What quantisation did to a PyTorch model: our int8 C against the quantised program, and against
the float model.

    program = program_of(quantize(module, example, calibration=batches))
    distance = program_distance(program, random_samples(program, 24))
    noise = layer_noise(program, float_module(module, program), samples)

docs/pytorch.md says how to read the results. Needs torch and torchao.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from torch.fx import GraphModule

from thumbnet.codegen.errors import DataError
from thumbnet.codegen.frontends.pytorch.values import from_graph, to_graph
from thumbnet.tools.arrays import Array, load_array, load_arrays, quantize, random_calls
from thumbnet.tools.pytorch_model import (
    Program,
    Sample,
    float_module,
    float_values,
    integer_values,
    matching_nodes,
    outputs_of,
)
from thumbnet.tools.single_layers import (
    Layer,
    TakenApart,
    Values,
    compiled_for_host,
    compiled_layers,
    taken_apart,
    with_outputs,
)

Run = Callable[[Values], dict[str, Array]]


@dataclass(frozen=True)
class LayerDistance:
    """A layer that was fed the program's own values: how far its integers are from the program's.

    One unit is one step of the layer's int8 scale.
    """

    layer: str
    operators: str
    max_difference: int
    different: float  # share of the values that differ at all


@dataclass(frozen=True)
class ProgramDistance:
    """Layer by layer, and of the whole network: `outputs[d]` output values are d steps apart."""

    samples: int
    layers: tuple[LayerDistance, ...]
    outputs: Mapping[int, int]

    @property
    def max_layer_difference(self) -> int:
        return max((layer.max_difference for layer in self.layers), default=0)


@dataclass(frozen=True)
class LayerNoise:
    """Signal-to-quantisation-noise ratios of a layer's output in dB; None: no noise, or no signal.

    `sqnr_db` is that of the quantised network; `alone_db` that of this layer alone, fed the float
    model's values in int8.
    """

    layer: str
    operators: str
    sqnr_db: float | None
    alone_db: float | None


@dataclass(frozen=True)
class OutputNoise:
    """The same ratio of an output of the whole network against the float model's."""

    output: str
    sqnr_db: float | None


@dataclass(frozen=True)
class Accuracy:
    """Shares of the samples whose largest score is that of their label."""

    samples: int
    accuracy_float: float | None
    accuracy_int8: float


@dataclass(frozen=True)
class Report:
    """What `thumbnet check` adds for a PyTorch model: `noise` and `output_noise` need the float
    model and data, `accuracy` labelled data; None without."""

    distance: ProgramDistance
    noise: tuple[LayerNoise, ...] | None
    accuracy: Accuracy | None
    output_noise: tuple[OutputNoise, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields that a result of `check --json` gets."""
        distance = {
            **asdict(self.distance),
            "max_layer_difference": self.distance.max_layer_difference,
            "outputs": {str(steps): count for steps, count in self.distance.outputs.items()},
        }
        noise = None if self.noise is None else [asdict(layer) for layer in self.noise]
        accuracy = None if self.accuracy is None else asdict(self.accuracy)
        outputs = None if self.output_noise is None else [asdict(o) for o in self.output_noise]
        return {
            "program": distance, "noise": noise, "output_noise": outputs, "accuracy": accuracy
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Data:
    """Inputs of the module, [N, ...] each, and labels [N] where there are some."""

    inputs: tuple[Array, ...]
    labels: Array | None

    def __len__(self) -> int:
        return len(self.inputs[0])

    def sample(self, i: int) -> Sample:
        return tuple(array[i : i + 1] for array in self.inputs)

    def spread(self, count: int) -> list[Sample]:
        """At most `count` samples, evenly from the first to the last."""
        count = min(count, len(self))
        return [self.sample(i * len(self) // count) for i in range(count)]


def report(
    program: Program, float_model: Path | None = None, data: Path | None = None, samples: int = 24
) -> Report:
    """Everything that the given files allow. Without data the inputs are random; with data, layers
    are compared on `samples` of them and accuracies taken on all. Raises ThumbnetError."""
    if float_model is not None and data is None:
        raise DataError(
            f"comparing with {float_model} needs typical inputs: give them as --data DATA.npz"
        )
    given = None if data is None else read_data(data, program)
    module = None if float_model is None else float_module(float_model, program)
    chosen = random_samples(program, samples) if given is None else given.spread(samples)
    labelled = given is not None and given.labels is not None
    return Report(
        program_distance(program, chosen),
        None if module is None else layer_noise(program, module, chosen),
        accuracy(program, module, given) if given is not None and labelled else None,
        None if module is None else output_noise(program, module, chosen),
    )


# ---- samples -----------------------------------------------------------------------------------


def random_samples(program: Program, count: int) -> list[Sample]:
    """Inputs of several distributions over the range of the quantised input; seeded."""
    tensors = [program.graph.tensors[name] for name in program.graph.inputs]
    samples = []
    for call in random_calls(tensors, count):
        arrays = []
        for q, tensor, layout in zip(call, tensors, program.lowered.inputs, strict=True):
            real = tensor.scale * (q.astype(np.int32) - tensor.zero_point).astype(np.float32)
            arrays.append(from_graph(real, layout))
        samples.append(tuple(arrays))
    return samples


def read_data(path: Path, program: Program) -> Data:
    """A .npz with the arrays `inputs` (several inputs: one array by each input's name) and, where
    accuracies are wanted, `labels`; or a .npy with inputs alone. Raises DataError."""
    arrays = load_arrays(path) if path.suffix == ".npz" else {"inputs": load_array(path)}
    names = list(program.graph.input_names.values())
    names = ["inputs"] if len(names) == 1 and "inputs" in arrays else names
    missing = [name for name in names if name not in arrays]
    if missing:
        raise DataError(
            f"{path} has no array '{missing[0]}'; it holds {', '.join(arrays) or 'nothing'}; give "
            "'inputs' and 'labels'"
        )
    inputs = [
        _input(arrays[name], shape, f"{path}, '{name}'")
        for name, shape in zip(names, program.input_shapes, strict=True)
    ]
    if len({len(array) for array in inputs}) != 1:
        raise DataError(f"{path}: the inputs hold different numbers of samples")
    labels = arrays.get("labels")
    if labels is not None:
        labels = _labels(labels, len(inputs[0]), program, str(path))
    return Data(tuple(inputs), labels)


def _input(array: Array, shape: tuple[int, ...], what: str) -> Array:
    if array.dtype not in (np.float32, np.float64):
        raise DataError(f"{what} has type {array.dtype}; give float32, as the module takes it")
    if array.shape[1:] != shape[1:] or not len(array):
        wanted = ", ".join(["N", *map(str, shape[1:])])
        raise DataError(f"{what} has shape {list(array.shape)}; the module takes [{wanted}]")
    if not np.isfinite(array).all():
        raise DataError(f"{what} holds NaN or infinity; give numbers")
    return np.ascontiguousarray(array, np.float32)


def _labels(labels: Array, samples: int, program: Program, path: str) -> Array:
    classes = program.graph.tensors[program.graph.outputs[0]].elements
    if classes < 2:
        raise DataError(f"{path}: accuracy needs a first output of several scores, not of one")
    if labels.shape != (samples,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{path}: 'labels' is {labels.dtype} of shape {list(labels.shape)}; give one integer "
            f"for each of the {samples} samples"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(
            f"{path}: 'labels' goes from {labels.min()} to {labels.max()}; the model has the "
            f"classes 0 to {classes - 1}"
        )
    return labels


# ---- int8 against the quantised program ----------------------------------------------------------


def program_distance(program: Program, samples: Sequence[Sample]) -> ProgramDistance:
    """Runs the int8 C on this machine, and the program in PyTorch, on the same samples."""
    apart, run_apart = _layers(program, program.known)
    whole = _network(program)
    worst: Counter[str] = Counter()
    differing: Counter[str] = Counter()
    outputs: Counter[int] = Counter()
    for sample in samples:
        wanted = integer_values(program, sample)
        for name, value in run_apart(apart.feeds(wanted)).items():
            distance = _distance(value, wanted[name])
            worst[name] = max(worst[name], int(distance.max()))
            differing[name] += int(np.count_nonzero(distance))
        found = whole({name: wanted[name] for name in program.graph.inputs})
        for name, value in found.items():
            outputs.update(_distance(value, wanted[name]).ravel().tolist())
    layers = tuple(
        LayerDistance(
            layer.tensor,
            _operators(layer),
            worst[layer.tensor],
            differing[layer.tensor] / (len(samples) * program.graph.tensors[layer.tensor].elements),
        )
        for layer in apart.layers
    )
    return ProgramDistance(len(samples), layers, dict(sorted(outputs.items())))


def _operators(layer: Layer) -> str:
    """The kinds of a layer's operators, those left out that only rename bytes."""
    return "+".join([k for k in layer.operators if k != "RESHAPE"] or layer.operators)


def _distance(a: Array, b: Array) -> Array:
    return np.abs(a.astype(np.int32) - b.astype(np.int32))


@lru_cache(maxsize=4)
def _layers(program: Program, known: tuple[str, ...]) -> tuple[TakenApart, Run]:
    apart = taken_apart(program.graph, known)
    return apart, compiled_layers(apart)


@lru_cache(maxsize=4)
def _network(program: Program) -> Run:
    return compiled_for_host(program.graph)


# ---- int8 against float --------------------------------------------------------------------------


def layer_noise(
    program: Program, module: GraphModule, samples: Sequence[Sample]
) -> tuple[LayerNoise, ...]:
    """What each layer's int8 output lacks of the float model's, worst layer (alone) first.

    `module` comes from `float_module`. Raises DataError where the two have nothing in common.
    """
    nodes = matching_nodes(program, module)
    missing = [name for name in program.graph.inputs if name not in nodes]
    if missing or len(nodes) == len(missing):
        raise DataError(
            f"{program.label} does not come from this float model: their inputs or operators differ"
        )
    apart, run_apart = _layers(program, tuple(nodes))
    layers = [layer.tensor for layer in apart.layers if layer.tensor in nodes]
    run_whole = compiled_for_host(with_outputs(program.graph, layers))
    signal, noise, alone = (dict.fromkeys(layers, 0.0) for _ in range(3))
    for sample in samples:
        real = float_values(program, module, nodes, sample)
        integers = {name: quantize(a, program.graph.tensors[name]) for name, a in real.items()}
        in_network = run_whole({name: integers[name] for name in program.graph.inputs})
        by_itself = run_apart(apart.feeds(integers))
        for name in layers:
            signal[name] += _power(real[name])
            noise[name] += _power(_real(in_network[name], program, name) - real[name])
            alone[name] += _power(_real(by_itself[name], program, name) - real[name])
    found = [
        LayerNoise(
            layer.tensor,
            _operators(layer),
            _decibel(signal[layer.tensor], noise[layer.tensor]),
            _decibel(signal[layer.tensor], alone[layer.tensor]),
        )
        for layer in apart.layers
        if layer.tensor in nodes
    ]
    return tuple(sorted(found, key=lambda n: np.inf if n.alone_db is None else n.alone_db))


def output_noise(
    program: Program, module: GraphModule, samples: Sequence[Sample]
) -> tuple[OutputNoise, ...]:
    """What each output of the int8 C lacks of the float model's. Raises DataError where the two
    have other outputs."""
    run, names = _network(program), program.graph.outputs
    signal, noise = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for sample in samples:
        wanted = outputs_of(module, sample)
        shapes = [list(layout.shape) for layout in program.lowered.outputs]
        if [list(array.shape) for array in wanted] != shapes:
            raise DataError(
                f"{program.label} does not come from this float model: its outputs have shapes "
                f"{shapes} here and {[list(array.shape) for array in wanted]} there"
            )
        made = run(quantized(program, sample))
        for name, layout, real in zip(names, program.lowered.outputs, wanted, strict=True):
            found = from_graph(_real(made[name], program, name), layout)
            signal[name] += _power(real)
            noise[name] += _power(found - real)
    labels = program.graph.output_names
    return tuple(OutputNoise(labels.get(n, n), _decibel(signal[n], noise[n])) for n in names)


def _real(q: Array, program: Program, name: str) -> Array:
    tensor = program.graph.tensors[name]
    return (q.astype(np.float64) - tensor.zero_point) * float(tensor.scale)


def _power(values: Array) -> float:
    return float(np.square(values.astype(np.float64)).sum())


def _decibel(signal: float, noise: float) -> float | None:
    return 10 * float(np.log10(signal / noise)) if signal > 0 and noise > 0 else None


def accuracy(program: Program, module: GraphModule | None, data: Data) -> Accuracy:
    """Accuracies over labelled data, by the largest value of the first output (the first of
    several); without a float module of the int8 C alone."""
    assert data.labels is not None
    run = _network(program)
    name = program.graph.outputs[0]
    right = {"int8": 0, "float": 0}
    for i, label in enumerate(data.labels):
        sample = data.sample(i)
        scores = from_graph(run(quantized(program, sample))[name], program.lowered.outputs[0])
        right["int8"] += int(scores.argmax() == label)
        if module is not None:
            right["float"] += int(outputs_of(module, sample)[0].argmax() == label)
    share_float = None if module is None else right["float"] / len(data)
    return Accuracy(len(data), share_float, right["int8"] / len(data))


def quantized(program: Program, sample: Sample) -> dict[str, Array]:
    """The inputs of the program's graph for a sample, as `thumbnet run` quantises them."""
    tensors = [program.graph.tensors[name] for name in program.graph.inputs]
    return {
        tensor.name: quantize(to_graph(array, layout).reshape(tensor.shape), tensor)
        for tensor, layout, array in zip(tensors, program.lowered.inputs, sample, strict=True)
    }
