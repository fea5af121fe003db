"""report.html: one self-contained page that shows where the memory goes."""

from __future__ import annotations

import json
from html import escape
from itertools import groupby

from thumbnet.codegen.kernel import FEED
from thumbnet.codegen.manifest import Manifest
from thumbnet.codegen.occupancy import ROLES, peak_steps
from thumbnet.codegen.report_assets import SCRIPT, STYLE
from thumbnet.codegen.report_picture import (
    ROLE_NAMES,
    WIDTH,
    Picture,
    arena_drawing,
    byte_ticks,
    drawing,
    live_drawing,
    make_picture,
    shape_words,
    short_bytes,
    stage_drawing,
    step_ticks,
    tags,
)
from thumbnet.codegen.schedule import Schedule


def report_html(schedule: Schedule, manifest: Manifest) -> str:
    """The page. It needs no network; without its script it shows all but cursor and zoom."""
    title = f"{manifest.name} on {manifest.target}"
    picture = make_picture(schedule)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<header>
<h1>{escape(manifest.name)} <small>on {escape(manifest.target)}</small></h1>
<dl class="facts">{_facts(schedule, manifest)}</dl>
</header>
<section>
<h2>The arena over time</h2>
<p>Bytes of the arena upwards, steps of one run from left to right. An area is what is live of one
tensor: it grows as rows are made and shrinks as the last reader goes on; where an output takes the
place of its own dying input, the two meet. A stage is as wide as the square root of its number of
steps.</p>
{_plot(picture)}
</section>
<section>
<h2>Stages</h2>
<p>In a stage of several layers a row flows on as soon as the rows that it needs exist; a stage of
one layer runs that layer whole.</p>
<ol class="words">{_stages(schedule)}</ol>
</section>
<section>
<h2>Layers</h2>
{_layers(schedule, manifest)}
</section>
<section>
<h2>Flash</h2>
{_flash(manifest)}
</section>
<footer>Compiled by Thumbnet {escape(manifest.thumbnet)} from
<code>{escape(manifest.model)}</code>, <code>--optimize {escape(manifest.optimize)}</code>\
{_compiler(manifest)}. K is 1024 bytes.</footer>
</main>
<div id="tip"></div>
<script type="application/json" id="data">{_data(picture)}</script>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _compiler(manifest: Manifest) -> str:
    if manifest.compiler is None:
        return "; code and stack need the target's compiler"
    return f"; code and stack as {escape(manifest.compiler)} makes them"


# ---- headline facts --------------------------------------------------------------------------


def _facts(schedule: Schedule, manifest: Manifest) -> str:
    arena, bound = schedule.arena_bytes, schedule.lower_bound
    gap = f"{(arena - bound) / bound * 100:.1f} % above the lower bound" if bound else "empty"
    code, weights = manifest.code_bytes, manifest.weights_bytes
    total = None if code is None else code + weights
    live = sum(kernel.macs for kernel in schedule.kernels)
    first, _ = peak_steps(schedule)
    peak = f"live at step {first}" if schedule.steps else "the inputs"
    facts = [
        ("Arena", _bytes(arena), gap if arena > bound else "equal to the lower bound"),
        ("Lower bound", _bytes(bound), peak),
        ("Stack", _bytes(manifest.stack_bytes), "bytes, worst case"),
        ("Flash", _bytes(total), "weights and code"),
        ("Weights", _bytes(weights), "with biases and tables"),
        ("Code", _bytes(code), "bytes"),
        ("MACs", f"{manifest.macs:,}", "a run" if live >= manifest.macs else f"{live:,} computed"),
        (
            "Schedule",
            _count(len(schedule.steps), "step"),
            f"{_count(len(schedule.stages), 'stage')}, {_count(len(schedule.kernels), 'layer')}",
        ),
    ]
    return "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd><dd>{note}</dd></div>" for name, value, note in facts
    )


def _bytes(nbytes: int | None) -> str:
    return "not known" if nbytes is None else f"{nbytes:,}"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


# ---- the arena over time ---------------------------------------------------------------------


def _plot(picture: Picture) -> str:
    schedule = picture.schedule
    arena = schedule.arena_bytes
    levels = [(n, short_bytes(n)) for n in byte_ticks(arena)]
    levels = [(n, text) for n, text in levels if n < 0.93 * arena]
    y = "".join(
        f'<span style="bottom:{n / arena * 100:.2f}%">{text}</span>'
        for n, text in [*levels, (arena, short_bytes(arena))]
    )
    return f"""<div class="card">
<ul class="legend">{_legend(picture)}</ul>
<div class="plot" id="plot">
<div class="y">{y}</div>
<div class="body">{arena_drawing(picture)}{_tags(picture)}<div id="cursor"></div></div>
<div class="gap small"></div><div></div>
<div class="name">stages</div>{stage_drawing(picture)}
<div class="name">step</div><div class="x">{_x_labels(picture)}</div>
<div class="gap"></div><div></div>
<div class="name">live<br>bytes</div>{live_drawing(picture)}
</div>
<div class="bar"><span id="now">Point at the picture for names; drag over it, or click a stage, to \
zoom.</span><button id="reset" type="button" hidden>whole run</button></div>
</div>"""


def _legend(picture: Picture) -> str:
    present = {area.role for area in picture.areas}
    items = [(role, ROLE_NAMES[role]) for role in ROLES if role in present]
    first, _ = peak_steps(picture.schedule)
    if picture.schedule.steps:
        layer = picture.schedule.steps[first].kernel
        kind = picture.schedule.kernels[layer].kind
        items.append(("peak", f"peak: layer {layer}, {escape(kind)}"))
    items.append(("bound", f"lower bound {picture.schedule.lower_bound:,}"))
    return "".join(f'<li><i class="l-{css}"></i>{text}</li>' for css, text in items)


def _tags(picture: Picture) -> str:
    return "".join(
        f'<span class="tag" style="left:{(t.left + t.right) / 2 / WIDTH * 100:.2f}%;'
        f'bottom:{t.middle:.2f}%" data-box="{t.left} {t.right} {t.height:.1f}">'
        f"{escape(t.text)}</span>"
        for t in tags(picture)
    )


def _x_labels(picture: Picture) -> str:
    """As far as there is room; the script makes its own."""
    return "".join(
        f'<span{" class=first" if at < 1 else ""} style="left:{at:.2f}%">{step}</span>'
        for step, at in step_ticks(picture.axis, 5)
    )


def _data(picture: Picture) -> str:
    """What the script needs of each step, as JSON that is safe inside of a script element."""
    schedule = picture.schedule
    data = {
        "edges": picture.axis.edges.tolist(),
        "cuts": [s.first_step for s in schedule.stages],
        "live": schedule.live_bytes,
        "layer": [s.kernel for s in schedule.steps],
        "rows": [(s.y_begin, s.y_end) for s in schedule.steps],
        "operators": [k.kind for k in schedule.kernels],
    }
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")


# ---- stages and layers -----------------------------------------------------------------------


def _stages(schedule: Schedule) -> str:
    numbered = list(enumerate(schedule.stages))
    items = []
    for single, group in groupby(numbered, lambda n: n[1].end_kernel - n[1].first_kernel == 1):
        run = list(group)
        if single:
            (first, stage), (last, final) = run[0], run[-1]
            steps = final.end_step - stage.first_step
            layers = _span("layer", stage.first_kernel, final.end_kernel - 1)
            each = "run whole" if steps == len(run) else f"alone, {_count(steps, 'step')}"
            if len(run) > 1:
                each = f"one after the other, each {each}"
            items.append((f"{_span('Stage', first + 1, last + 1)}: {layers}", each))
        else:
            items += [_flowing(schedule, number) for number, _ in run]
    return "".join(f"<li><b>{head}</b><span>{rest}</span></li>" for head, rest in items)


def _flowing(schedule: Schedule, number: int) -> tuple[str, str]:
    stage = schedule.stages[number]
    layers = _span("layer", stage.first_kernel, stage.end_kernel - 1)
    steps = _count(stage.end_step - stage.first_step, "step")
    kernels = schedule.kernels[stage.first_kernel : stage.end_kernel]
    rings = (schedule.ring(k.output) for k in kernels)
    rows = [ring.rows for ring in rings if ring is not None]
    if len(rows) > 12:
        held = f"{len(rows)} rings of {min(rows)} to {max(rows)} rows"
    elif rows:
        held = f"rings of {', '.join(map(str, rows))} row{'' if rows == [1] else 's'}"
    else:
        held = "no rings"
    return f"Stage {number + 1}: {layers}, {steps}", f"rows flow through {held}"


def _span(noun: str, first: int, last: int) -> str:
    return f"{noun} {first}" if first == last else f"{noun}s {first} to {last}"


_COLUMNS = (
    ("#", ""),
    ("stage", ""),
    ("operator", "l"),
    ("output", ""),
    ("rows held", ""),
    ("MACs", ""),
    ("weights", ""),
    ("scratch", ""),
    ("live bytes", ""),
    ("tensor", "l"),
)


def _layers(schedule: Schedule, manifest: Manifest) -> str:
    entries = {entry.name: entry for entry in manifest.layers}
    weights = [
        entries[k.output].weights_bytes if k.output in entries else 0 for k in schedule.kernels
    ]
    live = [0] * len(schedule.kernels)
    for step, nbytes in zip(schedule.steps, schedule.live_bytes, strict=False):
        live[step.kernel] = max(live[step.kernel], nbytes)
    most_macs = max((k.macs for k in schedule.kernels), default=0)
    rows = []
    for number, stage in enumerate(schedule.stages, 1):
        for i in range(stage.first_kernel, stage.end_kernel):
            kernel = schedule.kernels[i]
            tensor = schedule.graph.tensors[kernel.output]
            ring = schedule.ring(kernel.output)
            kind = "rows fed in" if kernel.kind == FEED else escape(kernel.kind)
            kind += f", {escape(kernel.form)}" if kernel.form else ""
            css = [
                *(["cut"] if i == stage.first_kernel else []),
                *(["at-peak"] if live[i] == schedule.lower_bound else []),
            ]
            name = escape(kernel.output)
            rows.append(
                f'<tr class="{" ".join(css)}"><td>{i}</td><td>{number}</td>'
                f'<td class="l">{kind}</td>'
                f"<td>{shape_words(tensor)}</td>"
                f"<td>{f'{ring.rows} of {tensor.rows}' if ring else 'whole'}</td>"
                f"{_part(kernel.macs, most_macs)}{_part(weights[i], max(weights))}"
                f"{_part(kernel.scratch_bytes, 0)}{_part(live[i], max(live))}"
                f'<td class="l name" title="{name}">{name}</td></tr>'
            )
    head = "".join(f"<th{f' class={css}' if css else ''}>{name}</th>" for name, css in _COLUMNS)
    return (
        f'<div class="scroll"><table id="layers"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _part(value: int, of: int) -> str:
    """A cell with a bar behind the number."""
    if not value:
        return "<td></td>"
    bar = f' class="part" style="--p:{value / of * 100:.0f}%"' if of else ""
    return f"<td{bar}>{value:,}</td>"


# ---- flash -----------------------------------------------------------------------------------


def _flash(manifest: Manifest) -> str:
    sections = [("weights", manifest.weights_bytes), ("code", manifest.code_bytes)]
    legend = "".join(
        f'<li><i class="l-{name}"></i>{name} {_bytes(nbytes)}</li>' for name, nbytes in sections
    )
    parts = f'<ul class="legend">{legend}</ul><div class="flash">' + "".join(
        f'<div class="{name}" style="flex:{nbytes}" title="{name}, {nbytes:,} bytes"></div>'
        for name, nbytes in sections
        if nbytes
    )
    most = max((layer.weights_bytes for layer in manifest.layers), default=0)
    if not most:
        return f'<div class="card">{parts}</div>No layer has weights.</div>'
    height, wide = 1_000, WIDTH / len(manifest.layers)
    bars = "".join(
        f'<rect class="weight" x="{round(i * wide)}" width="{max(round(wide * 0.82), 1)}" '
        f'y="{height - tall}" height="{tall}"><title>{escape(layer.name)}\n{escape(layer.op)}\n'
        f"{layer.weights_bytes:,} bytes of weights</title></rect>"
        for i, layer in enumerate(manifest.layers)
        if (tall := round(layer.weights_bytes / most * height))
    )
    ticks = [(n, short_bytes(n)) for n in byte_ticks(most)]
    y = "".join(
        f'<span style="bottom:{n / most * 100:.1f}%">{text}</span>'
        for n, text in ticks[:: -(-len(ticks) // 4)]
    )
    return f"""<div class="card">{parts}</div>
<div class="plot"><div class="y">{y}</div>
{drawing(bars, height, "layers", "Weights of each layer")}
<div></div><div class="bar"><span>weights by layer, first to last</span></div></div></div>"""
