"""report.html of a search: one self-contained page that tells what was searched and found.

It has what the folder has: after each stage it is written anew. Charts are drawn in the page, so
that they follow its colours, light or dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from statistics import median
from typing import Any

from thumbnet import __version__
from thumbnet.codegen.files import read_json, write_text
from thumbnet.codegen.report_assets import STYLE
from thumbnet.nas import search_plan
from thumbnet.nas.architecture import Architecture, from_json
from thumbnet.nas.evolution import Candidate, Search
from thumbnet.nas.report_charts import (
    CHART_STYLE,
    axis,
    chart,
    count_axis,
    dots,
    level,
    line,
    log_axis,
    steps,
    upright,
)
from thumbnet.nas.report_layers import LAYER_STYLE, strip, table
from thumbnet.nas.search_plan import Folder, Plan
from thumbnet.nas.search_state import read_search
from thumbnet.nas.space_optimization import REACHED, SpaceChoice, SpaceReport

SHOWN = 12  # rows of the tables of spaces and of the front
MILLION = 1e6


@dataclass(frozen=True, eq=False)
class Known:
    """What a folder has of a search so far. `place` is where the finished network lies."""

    place: Path
    plan: Plan
    choice: SpaceChoice | None
    losses: tuple[float, ...]  # of the super-network
    search: Search | None
    architecture: Architecture | None  # the winner's
    result: dict[str, Any] | None  # of `finish`

    @property
    def winner(self) -> Candidate | None:
        if self.search is None or self.architecture is None:
            return None
        digest = self.architecture.digest
        return next((c for c in self.search.evaluated if c.digest == digest), None)

    @property
    def measured(self) -> dict[str, Any]:
        return (self.result or {}).get("measured", {})


def write_report(folder: Folder, place: Path) -> None:
    """Writes report.html into `place`, the folder of the finished network. Raises ThumbnetError."""
    write_text(place / search_plan.REPORT, report_html(read_known(folder, place)))


def read_known(folder: Folder, place: Path) -> Known:
    """Raises DataError where a file is damaged."""
    losses: tuple[float, ...] = ()
    if (folder / search_plan.SHARED).exists():
        from thumbnet.nas.training import losses_of  # torch

        losses = losses_of(folder / search_plan.SHARED)
    state, best, result = folder / search_plan.STATE, place / search_plan.BEST, None
    if (place / search_plan.RESULT).exists():
        result = read_json(place / search_plan.RESULT)
    return Known(
        place,
        folder.plan(),
        search_plan.read_choice(folder) if (folder / search_plan.SPACE).exists() else None,
        losses,
        read_search(state) if state.exists() else None,
        from_json(read_json(best), str(best)) if best.exists() else None,
        result,
    )


def report_html(known: Known) -> str:
    """The page. It needs no network and no script."""
    title = f"{_what(known)} for {_where(known.plan)}"
    sections = [
        _costs(known),
        _network(known),
        _accuracies(known),
        _front(known),
        _evolution(known),
        _losses(known),
        _spaces(known),
        _settings(known),
        _onwards(known),
    ]
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>{STYLE}{CHART_STYLE}{LAYER_STYLE}{_STYLE}</style>
</head>
<body>
<main>
<header>
<h1>{escape(_what(known))} <small>for {escape(_where(known.plan))}</small></h1>
<dl class="facts">{_facts(known)}</dl>
</header>
{"".join(sections)}
<footer>Searched by Thumbnet {escape(__version__)}. K is 1024 bytes; a million cycles are
{1000 / 64:.1f} ms at 64 MHz.</footer>
</main>
</body>
</html>
"""


def _what(known: Known) -> str:
    name = Path(str(known.plan.data.get("folder", ""))).name or "data"
    return f"A network for {name}" if known.result else f"A search for {name}"


def _where(plan: Plan) -> str:
    return f"{plan.board}, {plan.deployment.target}" if plan.board else plan.deployment.target


def _section(title: str, text: str, inner: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n<p>{text}</p>\n{inner}\n</section>\n"


# ---- headline facts ------------------------------------------------------------------------------


def _facts(known: Known) -> str:
    limits, result, winner = known.plan.limits, known.result, known.winner
    facts: list[tuple[str, str, str]] = []
    if result:
        correct = f"{result['validation_accuracy']:.2%} of validation"
        facts.append(("Test accuracy, int8", f"{result['test_accuracy']:.2%}", correct))
    elif winner:
        facts.append(("Shared-weight accuracy", f"{winner.accuracy:.2%}", "of validation"))
    if winner:
        cost, compiled = winner.cost, (result or {}).get("compiled", {})
        cycles = known.measured.get("cycles") or cost.cycles
        said = "measured" if known.measured.get("cycles") else "estimated"
        sram = compiled.get("arena_bytes", cost.arena_bytes)
        stack = compiled.get("stack_bytes")
        code = compiled.get("code_bytes")
        flash = cost.weights_bytes + (cost.code_bytes if code is None else code)
        facts += [
            ("Arena", f"{sram:,}", f"bytes{_of(sram + (stack or 0), limits.sram, ' with stack')}"),
            ("Flash", f"{flash:,}", f"bytes{_of(flash, limits.flash)}"),
            ("Cycles", f"{cycles:,}", f"{said}{_of(cycles, limits.cycles)}"),
            ("MACs", f"{cost.macs:,}", "a run"),
            ("Parameters", f"{cost.params:,}", "trainable"),
            ("Stack", "not known" if stack is None else f"{stack:,}", "bytes, worst case"),
        ]
    if known.search:
        count = len(known.search.evaluated)
        facts.append(("Searched", f"{count:,}", f"networks of space {escape(known.search.space)}"))
    elif known.choice:
        facts.append(("Search space", escape(known.choice.chosen), "chosen"))
    return "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd><dd>{note}</dd></div>" for name, value, note in facts
    )


def _of(value: int, limit: int | None, what: str = "") -> str:
    return "" if limit is None else f",{what} {value / limit:.0%} of the limit"


# ---- promised and measured -----------------------------------------------------------------------


def _costs(known: Known) -> str:
    winner, limits = known.winner, known.plan.limits
    if winner is None:
        return ""
    cost, compiled, measured = winner.cost, (known.result or {}).get("compiled", {}), known.measured
    flash = measured.get("flash", {})
    rows = (
        (
            "arena, bytes",
            cost.arena_bytes,
            compiled.get("arena_bytes"),
            measured.get("arena_bytes"),
        ),
        ("stack, bytes", None, compiled.get("stack_bytes"), measured.get("stack_bytes")),
        ("arena and stack", cost.sram, _sum(compiled, "arena_bytes", "stack_bytes"), None),
        ("weights, bytes", cost.weights_bytes, compiled.get("weights_bytes"), flash.get("weights")),
        ("code, bytes", cost.code_bytes, compiled.get("code_bytes"), flash.get("code")),
        (
            "weights and code",
            cost.flash,
            _sum(compiled, "weights_bytes", "code_bytes"),
            flash.get("total"),
        ),
        ("cycles", cost.cycles, compiled.get("cycles"), measured.get("cycles")),
    )
    limit_of = {
        "arena and stack": limits.sram,
        "weights and code": limits.flash,
        "cycles": limits.cycles,
    }
    body = ""
    for name, promised, made, now in rows:
        limit = limit_of.get(name)
        last = next((v for v in (now, made, promised) if v is not None), None)
        share = "" if limit is None or last is None else f"{last / limit:.1%}"
        bar = f' class="part" style="--p:{min(last / limit, 1):.0%}"' if limit and last else ""
        body += (
            f'<tr><td class="l">{name}</td><td>{_n(promised)}</td><td>{_n(made)}</td>'
            f"<td>{_n(now)}</td><td>{_n(limit)}</td><td{bar}>{share}</td></tr>"
        )
    heads = ("", "promised", "compiled", escape(measured.get("on", "measured")), "limit")
    head = "".join(f"<th>{name}</th>" for name in (*heads, "of the limit"))
    return _section(
        "Promised and measured",
        _promise(known),
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        "</div>",
    )


def _sum(found: dict[str, Any], *names: str) -> int | None:
    values = [found.get(name) for name in names]
    return sum(v for v in values if v is not None) if None not in values else None


def _n(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _promise(known: Known) -> str:
    text = (
        "What the compiler's cost report told the search of this network before it was trained, "
        "what the compiled C needs, and what it took on an emulated board. Arena and weights are "
        "exact, code and cycles estimates."
    )
    measured, result = known.measured, known.result or {}
    if known.plan.deployment.memory == "tflm":
        text += (
            " This search charged SRAM as TensorFlow Lite Micro would need it; our C needs less."
        )
    if "skipped" in measured:
        text += f" Not measured: {escape(measured['skipped'])}."
    elif measured:
        error = result.get("cycles_error")
        if error is not None:
            text += f" The estimate of cycles was off by {abs(error):.2%}."
        text += (
            f" {measured['calls_equal']} of {measured['calls']} outputs on the board are byte for "
            "byte those of this computer."
        )
    if result.get("over_limits"):
        text += f"<br><strong>Measured: {escape(result['over_limits'])}.</strong>"
    broken = result.get("broken_promises") or []
    if broken:
        text += f"<br><strong>Broken promises: {escape('; '.join(broken))}.</strong>"
    return text


# ---- the winner ----------------------------------------------------------------------------------


def _network(known: Known) -> str:
    architecture = known.architecture
    if architecture is None:
        return ""
    height, width, channels = architecture.input_shape
    text = (
        f"Network <code>{architecture.digest}</code>: inputs of {height}×{width}×{channels}, "
        f"{len(architecture.blocks)} inverted bottlenecks, {architecture.classes} classes, "
        f"{architecture.activation}."
    )
    return _section("The network", text, strip(architecture) + table(architecture))


def _accuracies(known: Known) -> str:
    result = known.result
    if not result:
        return ""
    rows = (
        ("shared weights, validation", result["shared_accuracy"], ""),
        ("fine-tuned, float, validation", result["float_accuracy"], ""),
        ("int8 C, validation", result["validation_accuracy"], ""),
        ("int8 C, test", result["test_accuracy"], " test"),
    )
    bars = "".join(
        f'<div class="bar-row{css}"><span>{name}</span><div><i style="width:{value:.2%}"></i></div>'
        f"<b>{value:.2%}</b></div>"
        for name, value, css in rows
    )
    how = {
        "ptq": "It was quantised after training.",
        "qat": "It was trained with quantisation simulated.",
    }
    text = (
        f"Shares of samples classified rightly. {how.get(result['quantised'], '')} The test data "
        "was looked at once, by the compiled C."
    )
    return _section("Accuracy", text, f'<div class="card">{bars}</div>')


# ---- stage 3 -------------------------------------------------------------------------------------


def _front(known: Known) -> str:
    search = known.search
    if search is None:
        return ""
    found, front, winner = search.evaluated, search.front, known.winner
    limit = search.limits.cycles
    x = axis((c.cost.cycles for c in found), "million cycles, estimated", unit=MILLION)
    y = axis((100 * c.accuracy for c in found), "validation accuracy with shared weights, %")

    def placed(some: Sequence[Candidate]) -> list[tuple[float, float, str]]:
        return [(c.cost.cycles, 100 * c.accuracy, _described(c)) for c in some]

    marks = dots(x, y, placed(found), "all")
    marks += steps(x, y, [(c.cost.cycles, 100 * c.accuracy) for c in front], "main")
    marks += dots(x, y, placed(front), "front")
    legend = [("all", f"{len(found)} networks"), ("front", f"{len(front)} on the front")]
    if limit is not None and x.low <= limit <= x.high:
        marks += upright(x, limit, "limit")
        legend.append(("limit", f"limit: {limit:,} cycles"))
    if winner is not None:
        marks += dots(x, y, placed([winner]), "best")
        legend.append(("best", "the network that was taken"))
    text = (
        "Every network that was evaluated; all are within the limits. On the front are those than "
        "which none is both faster and as accurate, or as fast and more accurate."
    )
    name = "Accuracy against cycles"
    inner = chart(x, y, marks, legend, name)
    if known.plan.evolution.objective == "front":
        inner += _front_table(search, winner)
    return _section(name, text, inner)


def _described(candidate: Candidate) -> str:
    cost = candidate.cost
    return (
        f"{candidate.digest}: {candidate.accuracy:.2%}\n{cost.cycles:,} cycles, arena "
        f"{cost.arena_bytes:,}, flash {cost.flash:,}\ngeneration {candidate.generation}"
    )


def _front_table(search: Search, winner: Candidate | None) -> str:
    front = search.front
    every = max(1, -(-len(front) // (2 * SHOWN)))
    shown = [c for i, c in enumerate(reversed(front)) if i % every == 0 or c == winner]
    body = "".join(
        f"<tr{' class=at-peak' if c == winner else ''}><td class='l'><code>{c.digest}</code></td>"
        f"<td>{c.accuracy:.2%}</td><td>{c.cost.cycles:,}</td><td>{c.cost.macs:,}</td>"
        f"<td>{c.cost.arena_bytes:,}</td><td>{c.cost.flash:,}</td><td>{c.generation}</td></tr>"
        for c in shown
    )
    heads = ("network", "accuracy", "cycles", "MACs", "arena", "flash", "generation")
    head = "".join(f"<th{' class=l' if h == 'network' else ''}>{h}</th>" for h in heads)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        "</div>"
    )


def _evolution(known: Known) -> str:
    search = known.search
    if search is None:
        return ""
    found = search.evaluated
    x = count_axis(search.generation, "generation")
    y = axis((100 * c.accuracy for c in found), "validation accuracy with shared weights, %")
    births: dict[int, list[float]] = {}
    for candidate in found:
        births.setdefault(candidate.generation, []).append(100 * candidate.accuracy)
    middles, best, so_far = [], [], 0.0
    for generation, accuracies in sorted(births.items()):
        so_far = max(so_far, *accuracies)
        middles.append((float(generation), median(accuracies)))
        best.append((float(generation), so_far))
    marks = dots(x, y, ((c.generation, 100 * c.accuracy, _described(c)) for c in found), "all")
    marks += line(x, y, middles, "second") + steps(x, y, best, "best")
    settings = known.plan.evolution
    parents = settings.parents if settings.objective == "accuracy" else settings.population
    text = (
        f"{settings.population} networks a generation, children of the best {parents} so far: "
        f"{settings.mutated:.0%} of them mutated (each choice with probability "
        f"{settings.mutation_rate:g}), the others crossed. What does not fit is drawn again."
    )
    legend = [("all", "a network"), ("second", "median"), ("best", "best so far")]
    return _section("Evolution", text, chart(x, y, marks, legend, "Accuracy by generation"))


# ---- stages 2 and 1 ------------------------------------------------------------------------------


def _losses(known: Known) -> str:
    recipe, focus = known.plan.super_training, known.plan.focus
    alone = 0 if focus else known.plan.sandwich.largest_epochs
    charts = []
    if known.losses:
        charts.append(_loss_chart(known.losses, recipe.epochs, "Super-network", alone))
    tuned = (known.result or {}).get("fine_tuning_losses") or ()
    if tuned:
        charts.append(_loss_chart(tuned, known.plan.fine_tuning.epochs, "Fine-tuning", 0))
    if not charts:
        return ""
    text = (
        f"Each batch of the super-network trains {'a large' if focus else 'the largest'} network "
        f"{'that may fit ' if focus else ''}on the labels, the smallest and "
        f"{known.plan.sandwich.random} random ones on what that one says; the loss is the sum."
    )
    if alone:
        text += f" In the first {alone} epochs the largest trains alone."
    return _section("Training", text, f'<div class="two">{"".join(charts)}</div>')


def _loss_chart(losses: Sequence[float], epochs: int, name: str, alone: int) -> str:
    x = count_axis(max(epochs, len(losses)), "epoch", 1)
    y = axis((0.0, *losses), "loss")
    marks, css = "", "main"
    if 0 < alone < len(losses):  # another loss from there on
        marks = line(x, y, [(i + 1, loss) for i, loss in enumerate(losses[:alone])], "second")
        marks += upright(x, alone + 0.5, "mark")
    rest = [(float(i + 1), loss) for i, loss in enumerate(losses) if i >= alone]
    marks += line(x, y, rest, css)
    marks += dots(
        x, y, ((i + 1, loss, f"epoch {i + 1}: {loss:.4f}") for i, loss in enumerate(losses)), css
    )
    return chart(x, y, marks, [("main", name)], f"{name}: loss by epoch")


def _spaces(known: Known) -> str:
    choice = known.choice
    if choice is None:
        return ""
    ranked = sorted(choice.spaces, key=lambda s: (s.reach, s.fits, s.smallest_macs), reverse=True)
    text = (
        f"{choice.samples:,} networks were drawn from each of {len(choice.spaces)} spaces (from "
        "fewer where a space could not win any more) and costed by the compiler. The curve is the "
        "share of networks with at most so many MACs; those that do not fit count as having none. "
        f"The space is taken in which the best {REACHED:.0%} reach furthest: "
        f"<code>{escape(choice.chosen)}</code>."
    )
    return _section("Search spaces", text, _space_chart(choice, ranked) + _space_table(ranked))


def _space_chart(choice: SpaceChoice, ranked: Sequence[SpaceReport]) -> str:
    fitting = [space for space in ranked if space.macs]
    if not fitting:
        return ""
    x = log_axis(
        (n for s in fitting for n in (s.macs[0], s.macs[-1])), "million MACs", unit=MILLION
    )
    y = axis((0, 100), "share of networks with at most so many, %", margin=0)
    marks = level(y, 100 * (1 - REACHED), "mark")
    for space in reversed(fitting):
        if space.name != choice.chosen:
            marks += steps(x, y, _distribution(space), "faint", _of_space(space))
    if choice.best.macs:
        marks += steps(x, y, _distribution(choice.best), "best", _of_space(choice.best))
    legend = [
        ("best", choice.chosen),
        ("faint", f"{len(fitting) - 1} others of which some fit"),
        ("mark", f"what {REACHED:.0%} exceed"),
    ]
    return chart(x, y, marks, legend, "Computation of the networks that fit")


def _distribution(space: SpaceReport) -> list[tuple[float, float]]:
    """At most a few hundred corners."""
    count, least = len(space.macs), 1 - len(space.macs) / space.asked
    every = max(1, count // 200)
    corners = [(float(space.macs[0]), 100 * least)]
    for i, value in enumerate(space.macs):
        if i % every == every - 1 or i == count - 1:
            corners.append((float(value), 100 * (least + (i + 1) / space.asked)))
    return corners


def _of_space(space: SpaceReport) -> str:
    return f"{space.name}\n{space.fits:.0%} fit, reach {space.reach:,} MACs"


def _space_table(ranked: Sequence[SpaceReport]) -> str:
    shown = ranked[:SHOWN]
    most = max((space.reach for space in shown), default=0) or 1
    body = "".join(
        f"<tr{' class=at-peak' if i == 0 else ''}><td class='l'>{escape(space.name)}</td>"
        f"<td>{space.width:g}</td><td>{'×'.join(map(str, space.input_shape))}</td>"
        f"<td>{space.asked:,}</td><td>{space.fits:.1%}</td>"
        f'<td class="part" style="--p:{space.reach / most:.0%}">{space.reach:,}</td>'
        f"<td>{space.mean:,.0f}</td></tr>"
        for i, space in enumerate(shown)
    )
    heads = ("space", "width", "input", "costed", "fit", "reach, MACs", "mean of those, MACs")
    head = "".join(f"<th{' class=l' if h == 'space' else ''}>{h}</th>" for h in heads)
    more = len(ranked) - len(shown)
    note = f'<div class="bar"><span>and {more} more in space.json</span></div>' if more > 0 else ""
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        f"</div>{note}"
    )


# ---- settings, what to do next -------------------------------------------------------------------


def _settings(known: Known) -> str:
    plan = known.plan
    limits, deployment, training = plan.limits, plan.deployment, plan.super_training
    items = [
        ("Data", ", ".join(f"{key} {value}" for key, value in plan.data.items())),
        ("SRAM limit", "none" if limits.sram is None else f"{limits.sram:,} bytes"),
        ("Flash limit", "none" if limits.flash is None else f"{limits.flash:,} bytes"),
        ("Cycle limit", "none" if limits.cycles is None else f"{limits.cycles:,}"),
        (
            "Compiled for",
            f"{deployment.target}, --optimize {deployment.optimize}, --input {deployment.input}",
        ),
        ("SRAM charged as", deployment.memory),
        ("Template", plan.template),
        (
            "Super-network",
            f"{training.epochs} epochs, batches of {training.batch}, learning rate "
            f"{training.learning_rate:g}",
        ),
        (
            "Evolution",
            f"{plan.evolution.generations} generations of {plan.evolution.population}, objective "
            f"{plan.evolution.objective}",
        ),
        (
            "Fine-tuning",
            f"{plan.fine_tuning.epochs} epochs, then {plan.qat_epochs} with quantisation",
        ),
        ("Seed", str(plan.seed)),
    ]
    inner = "".join(f"<li><b>{name}</b><span>{escape(text)}</span></li>" for name, text in items)
    return _section("Settings", "All of them are in plan.json.", f'<ol class="words">{inner}</ol>')


def _onwards(known: Known) -> str:
    plan, place = known.plan, known.place
    if known.result is None:
        text, commands = "The search goes on where it is.", [f"thumbnet search -o {place}"]
    else:
        text = "The C lies in <code>model/</code>, with its own report of where the memory goes."
        model = place / search_plan.MODEL_FILE
        limit = f" --max-sram {plan.limits.sram}" if plan.limits.sram else ""
        deployment = plan.deployment
        choices = f"--optimize {deployment.optimize} --input {deployment.input}{limit}"
        board = known.measured.get("on", "mps2-an386")
        commands = [
            f"thumbnet compile {model} -o firmware/model --target {deployment.target} {choices}",
            f"thumbnet bench {model} --on {board} --profile {choices}",
            f"thumbnet check {model} --on host,{board} {choices}",
            f"thumbnet run {model} --on host --input sample.npy",
        ]
        if plan.evolution.objective == "front":
            commands.append("thumbnet search finish FOLDER --pick DIGEST   # another of the front")
    lines = "\n".join(escape(command) for command in commands)
    return _section("How to go on", text, f'<pre class="card">{lines}</pre>')


_STYLE = """
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(24rem,100%),1fr));gap:1rem}
.scroll+.scroll,.card+.scroll,figure+.scroll{margin-top:1rem}
strong{color:var(--peak)}
.bar-row{display:grid;grid-template-columns:minmax(8rem,15rem) 1fr 4.5rem;gap:1rem;
align-items:center;font-size:.88rem;padding:.22rem 0}
.bar-row div{background:var(--grid);border-radius:.3rem;height:.9rem;overflow:hidden}
.bar-row i{display:block;height:100%;background:var(--t1)}
.bar-row.test i{background:var(--accent)}.bar-row.test{font-weight:600}
.bar-row b{text-align:right;font-variant-numeric:tabular-nums;font-weight:inherit}
.bar-row span{color:var(--soft)}.bar-row.test span{color:var(--ink)}
pre.card{overflow-x:auto;font:.84rem/1.7 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;
margin:.6rem 0 0}
"""
