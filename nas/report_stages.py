"""What report.html shows of the stages before the last: the front, evolution, training, spaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from statistics import median

from thumbnet.nas.evolution import Candidate, Search
from thumbnet.nas.report_charts import (
    axis,
    chart,
    count_axis,
    dots,
    line,
    log_axis,
    steps,
    upright,
)
from thumbnet.nas.report_known import Known, section
from thumbnet.nas.space_optimization import FITTING, NEAR, SpaceChoice, SpaceReport

SHOWN = 12  # rows of the tables of spaces and of the front
MILLION = 1e6

# ---- stage 3 -------------------------------------------------------------------------------------


def front(known: Known) -> str:
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
    return section(name, text, inner)


def _described(candidate: Candidate) -> str:
    cost = candidate.cost
    return (
        f"{candidate.digest}: {candidate.accuracy:.2%}\n{cost.cycles:,} cycles, arena "
        f"{cost.arena_bytes:,}, flash {cost.flash:,}\ngeneration {candidate.generation}"
    )


def _front_table(search: Search, winner: Candidate | None) -> str:
    front = search.front
    every = max(1, -(-len(front) // (2 * SHOWN)))
    return _table(
        [c for i, c in enumerate(reversed(front)) if i % every == 0 or c == winner], winner
    )


def _table(
    shown: Sequence[Candidate],
    winner: Candidate | None,
    trained: Mapping[str, float] | None = None,
) -> str:
    """One row a network; with `trained`, accuracies by digest, also what it was trained to."""
    rows = []
    for c in shown:
        cells = [f"{c.accuracy:.2%}", *([f"{trained[c.digest]:.2%}"] if trained else [])]
        cells += [f"{n:,}" for n in (c.cost.cycles, c.cost.macs, c.cost.arena_bytes, c.cost.flash)]
        cells.append(str(c.generation))
        rows.append(
            f"<tr{' class=at-peak' if c == winner else ''}><td class='l'><code>{c.digest}</code>"
            f"</td>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
        )
    accuracies = ("shared weights", "trained on") if trained else ("accuracy",)
    heads = ("network", *accuracies, "cycles", "MACs", "arena", "flash", "generation")
    head = "".join(f"<th{' class=l' if h == 'network' else ''}>{h}</th>" for h in heads)
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
        "</table></div>"
    )


def shortlist(known: Known) -> str:
    search, trained = known.search, known.shortlist
    if search is None or not trained:
        return ""
    listed = [c for c in search.evaluated if c.digest in trained]
    listed.sort(key=lambda c: -trained[c.digest])
    text = (
        "Shared weights hardly tell the best networks apart. These were trained on from them, each "
        f"by itself, for {known.plan.shortlist_epochs} epochs; the best that fits once it is "
        "compiled is taken. Accuracies are of the validation data."
    )
    return section("Shortlist", text, _table(listed, known.winner, trained))


def evolution(known: Known) -> str:
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
    return section("Evolution", text, chart(x, y, marks, legend, "Accuracy by generation"))


# ---- stages 2 and 1 ------------------------------------------------------------------------------


def losses(known: Known) -> str:
    recipe, sandwich = known.plan.super_training, known.plan.sandwich
    alone = 0 if known.single_path else sandwich.largest_epochs
    charts = []
    if known.losses:
        charts.append(_loss_chart(known.losses, recipe.epochs, "Super-network", alone))
    tuned = (known.result or {}).get("fine_tuning_losses") or ()
    if tuned:
        charts.append(_loss_chart(tuned, known.plan.fine_tuning.epochs, "Fine-tuning", 0))
    if not charts:
        return ""
    if known.single_path:
        text = f"Each batch of the super-network trains {max(1, sandwich.random)} random networks "
        text += "that may fit, on the labels."
    else:
        text = "Each batch of the super-network trains the largest network on the labels, the "
        text += f"smallest and {sandwich.random} random ones on what that one says; the loss is "
        text += "the sum."
    if alone:
        text += f" In the first {alone} epochs the largest trains alone."
    return section("Training", text, f'<div class="two">{"".join(charts)}</div>')


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


def spaces(known: Known) -> str:
    choice = known.choice
    if choice is None:
        return ""
    ranked = sorted(choice.spaces, key=lambda s: s.key, reverse=True)
    text = (
        f"{choice.samples:,} networks were drawn from each of {len(choice.spaces)} spaces (more "
        f"where not {FITTING} of them fit, fewer where a space could not win any more) and costed "
        "by the compiler. The curve is the share of those that fit that has so many MACs at least. "
        f"Of the spaces whose mean is at least {NEAR:.0%} of the greatest, the one is taken of "
        f"which most fits: <code>{escape(choice.chosen)}</code>."
    )
    return section(
        "Search spaces", text, _space_chart(choice, ranked) + _space_table(choice, ranked)
    )


def _space_chart(choice: SpaceChoice, ranked: Sequence[SpaceReport]) -> str:
    fitting = [space for space in ranked if space.has_mean or space.name == choice.chosen]
    fitting = [space for space in fitting if space.macs]
    if not fitting:
        return ""
    x = log_axis(
        (n for s in fitting for n in (s.macs[0], s.macs[-1])), "million MACs", unit=MILLION
    )
    y = axis((0, 100), "of those that fit, have as many, %", margin=0)
    marks = ""
    for space in reversed(fitting):
        if space.name != choice.chosen:
            marks += steps(x, y, _distribution(space), "faint", _of_space(space))
    if choice.best.macs:
        marks += steps(x, y, _distribution(choice.best), "best", _of_space(choice.best))
    legend = [
        ("best", choice.chosen),
        ("faint", f"{len(fitting) - 1} others of which {FITTING} or more fit"),
    ]
    return chart(x, y, marks, legend, "Computation of the networks that fit")


def _distribution(space: SpaceReport) -> list[tuple[float, float]]:
    """Corners of (MACs, per cent of the networks that fit and have more), down to one network; a
    few hundred at most."""
    count = len(space.macs)
    every = max(1, count // 200)
    left = [(float(value), count - i - 1) for i, value in enumerate(space.macs[:-1])]
    left = [each for i, each in enumerate(left) if i % every == 0 or count - i < 20]
    ends = (float(space.macs[0]), count), (float(space.macs[-1]), 1)
    return [(value, 100 * more / count) for value, more in (ends[0], *left, ends[1])]


def _of_space(space: SpaceReport) -> str:
    return f"{space.name}\n{space.fits:.2%} fit, mean {space.mean:,.0f} MACs"


def _space_table(choice: SpaceChoice, ranked: Sequence[SpaceReport]) -> str:
    shown = ranked[:SHOWN]
    most = max((space.mean for space in shown), default=0) or 1
    body = "".join(
        f"<tr{' class=at-peak' if space.name == choice.chosen else ''}>"
        f"<td class='l'>{escape(space.name)}</td>"
        f"<td>{space.width:g}</td><td>{'×'.join(map(str, space.input_shape))}</td>"
        f"<td>{space.asked:,}</td><td>{space.fits:.2%}</td>"
        f'<td class="part" style="--p:{space.mean / most:.0%}">{space.mean:,.0f}</td></tr>'
        for space in shown
    )
    heads = ("space", "width", "input", "costed", "fit", "mean of those, MACs")
    head = "".join(f"<th{' class=l' if h == 'space' else ''}>{h}</th>" for h in heads)
    more = len(ranked) - len(shown)
    note = f'<div class="bar"><span>and {more} more in space.json</span></div>' if more > 0 else ""
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        f"</div>{note}"
    )
