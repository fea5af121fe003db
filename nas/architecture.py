"""An architecture: one network of inverted bottlenecks, as data.

The family is that of MobileNetV2 (Sandler et al., CVPR 2018) as MnasNet, ProxylessNAS, Once-for-All
and MCUNet vary it: a first convolution, inverted bottlenecks, an optional 1x1 convolution, the mean
over the image, a dense layer. Nothing here needs torch; `network.build` makes an `nn.Module` of it,
`cost_graph.cost_graph` the integer graph that the compiler plans.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from thumbnet.codegen.errors import ModelFormatError

Pair = tuple[int, int]  # rows, columns: height, width of an image; time, frequency of a spectrogram
FORMAT = "thumbnet-architecture-1"
ACTIVATIONS = ("relu", "relu6")


@dataclass(frozen=True)
class Stem:
    """The first convolution, batch norm and activation."""

    channels: int
    kernel: Pair = (3, 3)
    stride: Pair = (2, 2)


@dataclass(frozen=True)
class Bottleneck:
    """One inverted bottleneck: 1x1 to `expanded` channels, depthwise, 1x1 to `channels`.

    `expanded` 0: no first 1x1, the depthwise convolution sees the input. `squeeze`: channels
    between the two 1x1 of a squeeze-and-excite after the depthwise convolution (Hu et al., CVPR
    2018), 0 for none. `residual` adds the input, which needs equal channels and stride 1.

    `fused`: one convolution of all channels with an activation in place of everything (the
    Fused-MBConv of Tan and Le, ICML 2021, as it is without expansion). `pad` False: nothing pads
    the kernel, so that one as wide as its input leaves one column. Neither goes with `residual`.
    """

    channels: int
    expanded: int
    kernel: Pair = (3, 3)
    stride: Pair = (1, 1)
    squeeze: int = 0
    residual: bool = False
    fused: bool = False
    pad: bool = True


@dataclass(frozen=True)
class Architecture:
    """A whole network. `input_shape` is (height, width, channels).

    A convolution of kernel k pads k // 2 on each side, as PyTorch's models do. With `pad_rows`
    False nothing pads along the rows (time), so that the network can be streamed (`--input
    stream`), and a residual connection is cut to the rows that are left. `head` is the number of
    channels of the 1x1 convolution before the mean, 0 for none.
    """

    input_shape: tuple[int, int, int]
    stem: Stem
    blocks: tuple[Bottleneck, ...]
    head: int
    classes: int
    activation: str = "relu6"  # after every convolution but the last of a bottleneck
    pad_rows: bool = True

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads back. What came with a later version is left out
        where it says nothing, so that digests last."""
        made: dict[str, Any] = {"format": FORMAT, **json.loads(json.dumps(asdict(self)))}
        for block in made["blocks"]:
            for key, default in (("fused", False), ("pad", True)):
                if block[key] == default:
                    del block[key]
        return made

    @property
    def digest(self) -> str:
        """16 hexadecimal digits that are the same for equal architectures, on every machine."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def sizes(self) -> Iterator[Pair]:
        """(rows, columns) after the stem and after each block. Raises ModelFormatError where
        nothing is left."""
        size = self.input_shape[:2]
        layers: tuple[Stem | Bottleneck, ...] = (self.stem, *self.blocks)
        for layer in layers:
            size = self.output_size(size, layer.kernel, layer.stride, self.padding(layer))
            if min(size) < 1:
                raise ModelFormatError(
                    f"architecture: a {self.input_shape[0]}x{self.input_shape[1]} input has no "
                    "rows left for all layers; give it a larger input, or smaller kernels or "
                    "strides"
                )
            yield size

    def output_size(self, size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Pair:
        """(rows, columns) of a convolution's output for those of its input."""
        return (
            (size[0] + 2 * padding[0] - kernel[0]) // stride[0] + 1,
            (size[1] + 2 * padding[1] - kernel[1]) // stride[1] + 1,
        )

    def padding(self, layer: Stem | Bottleneck) -> Pair:
        """On each side, along rows and columns."""
        if isinstance(layer, Bottleneck) and not layer.pad:
            return 0, 0
        return (layer.kernel[0] // 2 if self.pad_rows else 0), layer.kernel[1] // 2


# ---- counts ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """The stem, a bottleneck, the head or the dense layer. `middle` is the number of channels of
    the depthwise convolution, 0 where there is none. Multiply-accumulates are nominal, padded taps
    counted; parameters are those that are trained: weights, scale and shift of batch norms, biases
    of squeeze-and-excite and of the dense layer."""

    name: str
    kernel: Pair
    stride: Pair
    inputs: int
    middle: int
    outputs: int
    size: Pair  # of the output
    squeeze: int
    residual: bool
    macs: int
    parameters: int


def layers(architecture: Architecture) -> Iterator[Layer]:
    """All of them, in order. Raises ModelFormatError."""
    sizes = list(architecture.sizes())
    stem, inputs = architecture.stem, architecture.input_shape[2]
    yield _full("stem", stem.kernel, stem.stride, inputs, stem.channels, sizes[0])
    inputs, before = stem.channels, sizes[0]
    for block, after in zip(architecture.blocks, sizes[1:], strict=True):
        if block.fused:
            yield _full("fused", block.kernel, block.stride, inputs, block.channels, after)
        else:
            yield _bottleneck(block, inputs, before, after)
        inputs, before = block.channels, after
    one = (1, 1)
    if architecture.head:
        yield _full("head", one, one, inputs, architecture.head, before)
        inputs = architecture.head
    classes = architecture.classes
    weights = inputs * classes
    yield Layer("dense", one, one, inputs, 0, classes, one, 0, False, weights, weights + classes)


def _full(name: str, kernel: Pair, stride: Pair, inputs: int, outputs: int, size: Pair) -> Layer:
    weights = outputs * inputs * _product(kernel)
    macs, parameters = _product(size) * weights, weights + 2 * outputs
    return Layer(name, kernel, stride, inputs, 0, outputs, size, 0, False, macs, parameters)


def _bottleneck(block: Bottleneck, inputs: int, before: Pair, after: Pair) -> Layer:
    middle, taps, squeeze = block.expanded or inputs, _product(block.kernel), block.squeeze
    macs = _product(after) * middle * (taps + block.channels) + 2 * middle * squeeze
    parameters = middle * (taps + 2) + block.channels * (middle + 2)
    if block.expanded:
        macs += _product(before) * inputs * middle
        parameters += middle * (inputs + 2)
    if squeeze:
        parameters += 2 * middle * squeeze + squeeze + middle
    return Layer(
        "bottleneck",
        block.kernel,
        block.stride,
        inputs,
        middle,
        block.channels,
        after,
        squeeze,
        block.residual,
        macs,
        parameters,
    )


def macs(architecture: Architecture) -> int:
    """Of one inference: see `Layer`."""
    return sum(layer.macs for layer in layers(architecture))


def parameters(architecture: Architecture) -> int:
    """Those that are trained: see `Layer`."""
    return sum(layer.parameters for layer in layers(architecture))


def _product(pair: Pair) -> int:
    return pair[0] * pair[1]


# ---- JSON ------------------------------------------------------------------------------------


def from_json(value: Any, source: str) -> Architecture:
    """The architecture of a JSON object as `to_json` writes it; `source` names it in messages.
    Raises ModelFormatError."""
    top = _object(value, source)
    if top.get("format") != FORMAT:
        raise ModelFormatError(
            f"{source}: no architecture: 'format' is {top.get('format')!r}, expected '{FORMAT}'"
        )
    stem = _object(top.get("stem"), f"{source}: stem")
    blocks = top.get("blocks")
    if not isinstance(blocks, list):
        raise ModelFormatError(f"{source}: 'blocks' is missing or no list")
    made = Architecture(
        input_shape=_numbers(top, "input_shape", 3, source),  # type: ignore[arg-type]
        stem=Stem(
            _number(stem, "channels", 1, f"{source}: stem"),
            _pair(stem, "kernel", f"{source}: stem"),
            _pair(stem, "stride", f"{source}: stem"),
        ),
        blocks=tuple(_block(block, f"{source}: block {i}") for i, block in enumerate(blocks)),
        head=_number(top, "head", 0, source),
        classes=_number(top, "classes", 1, source),
        activation=str(top.get("activation")),
        pad_rows=_flag(top, "pad_rows", True, source),
    )
    return checked(made, source)


def checked(architecture: Architecture, source: str) -> Architecture:
    """The architecture itself; ModelFormatError where it contradicts itself."""
    if architecture.activation not in ACTIVATIONS:
        raise ModelFormatError(
            f"{source}: activation '{architecture.activation}' is not one of "
            f"{', '.join(ACTIVATIONS)}"
        )
    channels = architecture.stem.channels
    for i, block in enumerate(architecture.blocks):
        if block.residual and (block.channels != channels or block.stride != (1, 1)):
            raise ModelFormatError(
                f"{source}: block {i} adds its input of {channels} channels to {block.channels} "
                f"at stride {block.stride}; a residual needs the same channels and stride 1"
            )
        if block.residual and (block.fused or not block.pad):
            raise ModelFormatError(
                f"{source}: block {i} adds its input, and is fused or without padding"
            )
        if block.fused and (block.expanded or block.squeeze):
            raise ModelFormatError(
                f"{source}: block {i} is fused, and has {block.expanded} expanded and "
                f"{block.squeeze} squeezed channels; give 0"
            )
        channels = block.channels
    try:
        list(architecture.sizes())
    except ModelFormatError as error:
        raise ModelFormatError(f"{source}: {error}") from error
    return architecture


def _block(value: Any, where: str) -> Bottleneck:
    block = _object(value, where)
    return Bottleneck(
        channels=_number(block, "channels", 1, where),
        expanded=_number(block, "expanded", 0, where),
        kernel=_pair(block, "kernel", where),
        stride=_pair(block, "stride", where),
        squeeze=_number(block, "squeeze", 0, where),
        residual=_flag(block, "residual", False, where),
        fused=_flag(block, "fused", False, where),
        pad=_flag(block, "pad", True, where),
    )


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ModelFormatError(f"{where}: expected a JSON object")
    return value


def _number(value: Mapping[str, Any], key: str, least: int, where: str) -> int:
    found = value.get(key)
    if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= 1 << 16:
        raise ModelFormatError(
            f"{where}: '{key}' is {found!r}, expected a whole number from {least} to 65536"
        )
    return found


def _flag(value: Mapping[str, Any], key: str, default: bool, where: str) -> bool:
    found = value.get(key, default)
    if not isinstance(found, bool):
        raise ModelFormatError(f"{where}: '{key}' is {found!r}, expected true or false")
    return found


def _numbers(value: Mapping[str, Any], key: str, count: int, where: str) -> tuple[int, ...]:
    found = value.get(key)
    if not isinstance(found, list) or len(found) != count:
        raise ModelFormatError(f"{where}: '{key}' is {found!r}, expected {count} whole numbers")
    return tuple(_number({key: n}, key, 1, where) for n in found)


def _pair(value: Mapping[str, Any], key: str, where: str) -> Pair:
    rows, columns = _numbers(value, key, 2, where)
    return rows, columns
