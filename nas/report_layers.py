"""An architecture as report.html shows it: a strip of layers and a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from thumbnet.nas.architecture import Architecture, Pair

HEADS = (
    *("#", "layer", "kernel", "stride", "expansion", "channels", "output", "squeeze"),
    *("residual", "MACs", "parameters"),
)


@dataclass(frozen=True)
class Layer:
    """The stem, a bottleneck, the head or the dense layer. `middle` is the number of channels of
    the depthwise convolution, 0 where there is none; `params` as `architecture.parameters`."""

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
    params: int

    @property
    def expansion(self) -> str:
        """Of a bottleneck's channels."""
        if not self.middle:
            return ""
        return f"{self.middle / self.inputs:g}" if self.middle != self.inputs else "1"


def layers(architecture: Architecture) -> Iterator[Layer]:
    """All of them, in order."""
    sizes = list(architecture.sizes())
    stem = architecture.stem
    inputs, taps = architecture.input_shape[2], stem.kernel[0] * stem.kernel[1]
    yield Layer(
        "stem",
        stem.kernel,
        stem.stride,
        inputs,
        0,
        stem.channels,
        sizes[0],
        0,
        False,
        _area(sizes[0]) * stem.channels * taps * inputs,
        stem.channels * (taps * inputs + 2),
    )
    inputs, before = stem.channels, sizes[0]
    for block, after in zip(architecture.blocks, sizes[1:], strict=True):
        middle = block.expanded or inputs
        taps = block.kernel[0] * block.kernel[1]
        macs = _area(after) * middle * (taps + block.channels) + 2 * middle * block.squeeze
        params = middle * (taps + 2) + block.channels * (middle + 2)
        if block.expanded:
            macs += _area(before) * inputs * middle
            params += middle * (inputs + 2)
        if block.squeeze:
            params += 2 * middle * block.squeeze + block.squeeze + middle
        yield Layer(
            "bottleneck",
            block.kernel,
            block.stride,
            inputs,
            middle,
            block.channels,
            after,
            block.squeeze,
            block.residual,
            macs,
            params,
        )
        inputs, before = block.channels, after
    one = (1, 1)
    if architecture.head:
        head = architecture.head
        macs, params = _area(before) * inputs * head, head * (inputs + 2)
        yield Layer("head", one, one, inputs, 0, head, before, 0, False, macs, params)
        inputs = head
    classes = architecture.classes
    macs, params = inputs * classes, (inputs + 1) * classes
    yield Layer("dense", one, one, inputs, 0, classes, one, 0, False, macs, params)


def _area(size: Pair) -> int:
    return size[0] * size[1]


# ---- drawing -------------------------------------------------------------------------------------


def strip(architecture: Architecture) -> str:
    """One tile a layer: as high as its output, as wide as its channels, coloured by its kernel."""
    found = list(layers(architecture))
    rows = architecture.input_shape[0]
    most = max(layer.outputs for layer in found)
    tiles = []
    for layer in found:
        high = 2.2 + 6.3 * layer.size[0] / rows  # rem
        wide = 1 + 1.3 * (layer.outputs / most) ** 0.5  # of the narrowest
        inside = f"<b>{_pair(layer.kernel)}</b>" if layer.kernel != (1, 1) else "<b>1×1</b>"
        if layer.middle:
            inside += f"<span>×{layer.expansion}</span>"
        css = [
            "tile",
            f"k{min(max(layer.kernel), 7)}",
            *(["down"] if max(layer.stride) > 1 else []),
            *(["plus"] if layer.residual else []),
        ]
        size = "" if layer.name == "dense" else f"{_pair(layer.size)}<br>"
        tiles.append(
            f'<li title="{escape(_described(layer))}" style="flex:{wide:.2f} 0 2.1rem">'
            f'<div class="{" ".join(css)}" style="height:{high:.2f}rem">{inside}</div>'
            f"<small>{size}{layer.outputs}</small></li>"
        )
    kernels = sorted({max(layer.kernel) for layer in found if layer.kernel != (1, 1)})
    legend = "".join(f'<li><i class="tile k{min(k, 7)}"></i>{k}×{k}</li>' for k in kernels)
    if any(layer.kernel[0] != layer.kernel[1] for layer in found):
        legend = "".join(f'<li><i class="tile k{min(k, 7)}"></i>{k} wide</li>' for k in kernels)
    if any(layer.residual for layer in found):
        legend += '<li><i class="tile plus"></i>adds its input</li>'
    return (
        f'<div class="card"><ul class="legend">{legend}<li>Inside: kernel, expansion. Below: size '
        f'and channels of the output.</li></ul><ol class="strip">{"".join(tiles)}</ol></div>'
    )


def table(architecture: Architecture) -> str:
    """One row a layer, with bars for MACs and parameters."""
    found = list(layers(architecture))
    macs, params = max(la.macs for la in found), max(la.params for la in found)
    body = []
    for i, layer in enumerate(found):
        plain = layer.name == "dense"
        channels = [layer.inputs, *([layer.middle] if layer.middle else []), layer.outputs]
        cells = (
            ("", str(i)),
            (' class="l"', layer.name),
            ("", "" if plain else _pair(layer.kernel)),
            ("", "" if plain or layer.stride == (1, 1) else _pair(layer.stride)),
            ("", layer.expansion),
            ("", " → ".join(map(str, channels))),
            ("", "" if plain else f"{_pair(layer.size)}×{layer.outputs}"),
            ("", str(layer.squeeze or "")),
            ("", "✓" if layer.residual else ""),
            (_part(layer.macs, macs), f"{layer.macs:,}"),
            (_part(layer.params, params), f"{layer.params:,}"),
        )
        cut = ' class="cut"' if max(layer.stride) > 1 else ""
        body.append(f"<tr{cut}>{''.join(f'<td{css}>{text}</td>' for css, text in cells)}</tr>")
    head = "".join(f"<th{' class=l' if name == 'layer' else ''}>{name}</th>" for name in HEADS)
    total_macs, total_params = sum(la.macs for la in found), sum(la.params for la in found)
    foot = f"<tr class='cut'><td></td><td class='l'>all</td>{'<td></td>' * 7}"
    foot += f"<td><b>{total_macs:,}</b></td><td><b>{total_params:,}</b></td></tr>"
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}{foot}'
        "</tbody></table></div>"
    )


def _pair(pair: Pair) -> str:
    return f"{pair[0]}×{pair[1]}"


def _part(value: int, most: int) -> str:
    return f' class="part" style="--p:{value / most * 100:.0f}%"'


def _described(layer: Layer) -> str:
    text = f"{layer.name}: {layer.inputs} to {layer.outputs} channels"
    if layer.middle:
        text += f" by way of {layer.middle}"
    if max(layer.stride) > 1:
        text += f", stride {_pair(layer.stride)}"
    if layer.squeeze:
        text += f", squeeze-and-excite of {layer.squeeze}"
    return f"{text}\n{layer.macs:,} MACs, {layer.params:,} parameters"


LAYER_STYLE = """
ol.strip{display:flex;align-items:flex-end;gap:.32rem;list-style:none;margin:0;
padding:.2rem 0 .4rem;overflow-x:auto}
.strip li{text-align:center;max-width:6rem}
.strip li:has(.down){margin-left:.8rem}
.strip small{display:block;font-size:.68rem;line-height:1.3;color:var(--soft);margin-top:.3rem;
font-variant-numeric:tabular-nums;min-height:2.6em}
.tile{background:var(--scratch);border-radius:.28rem}
.strip .tile{display:flex;flex-direction:column;justify-content:center;
font-size:.72rem;line-height:1.25;color:var(--ink);overflow:hidden}
.strip .tile span{opacity:.75}
.strip .tile:hover{outline:2px solid var(--ink)}
.tile.k3{background:var(--t1)}.tile.k5{background:var(--r1)}.tile.k7{background:var(--state)}
.tile.k2{background:var(--t1)}.tile.k4{background:var(--r1)}.tile.k6{background:var(--state)}
.tile.plus{border-top:3px solid var(--output)}
.legend i.tile.plus{background:none;border-radius:0;vertical-align:-.35rem}
"""
