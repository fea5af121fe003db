"""report.html: one self-contained page that shows where the memory goes."""

from __future__ import annotations

from html import escape

from thumbnet.codegen.manifest import Manifest
from thumbnet.codegen.schedule import Schedule, Storage

_WIDTH, _HEIGHT = 960, 360
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:62rem;padding:0 1rem;color:#1c2733}
h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2rem}
.facts{display:flex;flex-wrap:wrap;gap:.6rem;margin:1rem 0}
.facts div{border:1px solid #d5dde5;border-radius:.5rem;padding:.5rem .9rem}
.facts b{display:block;font-size:1.2rem}.facts span{color:#5b6b7a;font-size:.85rem}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #e4e9ee}
th{color:#5b6b7a;font-weight:600}
td:nth-child(2),th:nth-child(2),td:last-child,th:last-child{text-align:left}
svg{width:100%;height:auto;background:#f6f8fa;border-radius:.5rem}
rect.value:hover{stroke:#1c2733;stroke-width:2}text{font:11px system-ui,sans-serif;fill:#5b6b7a}
"""


def report_html(schedule: Schedule, manifest: Manifest) -> str:
    """The page; it needs no network and no script."""
    title = f"{manifest.name} on {manifest.target}"
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>
<style>{_STYLE}</style></head><body>
<h1>{escape(title)}</h1>
<p>Compiled by Thumbnet {manifest.thumbnet} from <code>{escape(manifest.model)}</code>,
<code>--optimize {manifest.optimize}</code>{_compiler(manifest)}.</p>
<div class="facts">{_facts(manifest)}</div>
<h2>The arena over time</h2>
<p>Each block is one tensor: its bytes upwards, the layers during which it lives from left to right.
Where an output lies over its own dying input, the blocks overlap. Point at one for its name.</p>
{_arena(schedule)}
<h2>Layers</h2>
{_layers(schedule)}
</body></html>
"""


def _compiler(manifest: Manifest) -> str:
    return f", measured with {escape(manifest.compiler)}" if manifest.compiler else ""


def _facts(manifest: Manifest) -> str:
    facts = [
        ("arena", manifest.arena_bytes),
        ("lower bound", manifest.arena_lower_bound),
        ("stack", manifest.stack_bytes),
        ("weights", manifest.weights_bytes),
        ("code", manifest.code_bytes),
        ("MACs", manifest.macs),
    ]
    return "".join(
        f"<div><b>{'not known' if value is None else f'{value:,}'}</b>"
        f"<span>{name}{'' if name == 'MACs' else ', bytes'}</span></div>"
        for name, value in facts
    )


def _arena(schedule: Schedule) -> str:
    steps = max(len(schedule.steps), 1)
    blocks = sorted(schedule.storages.values(), key=lambda s: (s.first - s.last, -s.nbytes))
    drawn = "".join(_block(s, steps, schedule.arena_bytes, i) for i, s in enumerate(blocks))
    top = f'<text x="4" y="12">{schedule.arena_bytes:,} bytes</text>'
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 18}" role="img" aria-label="Arena over time">'
        f'{drawn}{top}<text x="4" y="{_HEIGHT + 13}">layer 0</text>'
        f'<text x="{_WIDTH - 4}" y="{_HEIGHT + 13}" text-anchor="end">layer {steps - 1}</text></svg>'
    )


def _block(storage: Storage, steps: int, arena: int, number: int) -> str:
    first, last = max(storage.first, 0), min(storage.last, steps - 1)
    x, width = first / steps * _WIDTH, (last - first + 1) / steps * _WIDTH
    height = storage.nbytes / arena * _HEIGHT
    y = _HEIGHT - (storage.offset + storage.nbytes) / arena * _HEIGHT
    hue = number * 137 % 360
    scratch = storage.name.startswith("scratch ")
    fill = "#b8c2cc" if scratch else f"hsl({hue} 60% 62%)"
    label = (
        f"{storage.name}: {storage.nbytes:,} bytes at {storage.offset:,}, layers {first} to {last}"
    )
    return (
        f'<rect class="value" x="{x:.1f}" y="{y:.1f}" width="{max(width - 1, 1):.1f}" '
        f'height="{max(height, 1):.1f}" fill="{fill}" fill-opacity=".75">'
        f"<title>{escape(label)}</title></rect>"
    )


def _layers(schedule: Schedule) -> str:
    rows = []
    tensors = schedule.graph.tensors
    for index, kernel in enumerate(schedule.kernels):
        live = schedule.live_bytes[index]
        shape = " &times; ".join(map(str, tensors[kernel.output].shape))
        rows.append(
            f"<tr><td>{index}</td><td>{kernel.kind}</td><td>{shape}</td><td>{kernel.macs:,}</td>"
            f"<td>{kernel.scratch_bytes:,}</td><td>{live:,}</td><td>{escape(kernel.output)}</td></tr>"
        )
    head = "".join(
        f"<th>{h}</th>" for h in ("", "operator", "output", "MACs", "scratch", "live", "name")
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
