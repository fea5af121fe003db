"""An architecture as report.html shows it: a strip of layers and a table."""

from __future__ import annotations

from html import escape

from thumbnet.nas.architecture import Architecture, Layer, Pair, layers

HEADS = (
    *("#", "layer", "kernel", "stride", "expansion", "channels", "output", "squeeze"),
    *("residual", "MACs", "parameters"),
)


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
            inside += f"<span>×{_expansion(layer)}</span>"
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
    macs, params = max(la.macs for la in found), max(la.parameters for la in found)
    body = []
    for i, layer in enumerate(found):
        plain = layer.name == "dense"
        channels = [layer.inputs, *([layer.middle] if layer.middle else []), layer.outputs]
        cells = (
            ("", str(i)),
            (' class="l"', layer.name),
            ("", "" if plain else _pair(layer.kernel)),
            ("", "" if plain or layer.stride == (1, 1) else _pair(layer.stride)),
            ("", _expansion(layer)),
            ("", " → ".join(map(str, channels))),
            ("", "" if plain else f"{_pair(layer.size)}×{layer.outputs}"),
            ("", str(layer.squeeze or "")),
            ("", "✓" if layer.residual else ""),
            (_part(layer.macs, macs), f"{layer.macs:,}"),
            (_part(layer.parameters, params), f"{layer.parameters:,}"),
        )
        cut = ' class="cut"' if max(layer.stride) > 1 else ""
        body.append(f"<tr{cut}>{''.join(f'<td{css}>{text}</td>' for css, text in cells)}</tr>")
    head = "".join(f"<th{' class=l' if name == 'layer' else ''}>{name}</th>" for name in HEADS)
    total_macs, total_params = sum(la.macs for la in found), sum(la.parameters for la in found)
    foot = f"<tr class='cut'><td></td><td class='l'>all</td>{'<td></td>' * 7}"
    foot += f"<td><b>{total_macs:,}</b></td><td><b>{total_params:,}</b></td></tr>"
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}{foot}'
        "</tbody></table></div>"
    )


def _expansion(layer: Layer) -> str:
    """Of a bottleneck's channels."""
    if not layer.middle:
        return ""
    return f"{layer.middle / layer.inputs:g}" if layer.middle != layer.inputs else "1"


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
    return f"{text}\n{layer.macs:,} MACs, {layer.parameters:,} parameters"


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
