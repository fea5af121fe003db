"""report.html of a search: one self-contained page that tells what was searched and found.

It has what the folder has: after each stage it is written anew. Charts are drawn in the page, so
that they follow its colours, light or dark.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from thumbnet import __version__
from thumbnet.codegen.files import write_text
from thumbnet.codegen.report_assets import STYLE
from thumbnet.nas import search_plan
from thumbnet.nas.report_charts import CHART_STYLE
from thumbnet.nas.report_known import Known, read_known, section
from thumbnet.nas.report_layers import LAYER_STYLE, strip, table
from thumbnet.nas.report_stages import evolution, front, losses, shortlist, spaces
from thumbnet.nas.search_plan import Folder, Plan


def write_report(folder: Folder, place: Path) -> None:
    """Writes report.html into `place`, the folder of the finished network. Raises ThumbnetError."""
    write_text(place / search_plan.REPORT, report_html(read_known(folder, place)))


def report_html(known: Known) -> str:
    """The page. It needs no network and no script."""
    title = f"{_what(known)} for {_where(known.plan)}"
    sections = [
        _costs(known),
        _network(known),
        _accuracies(known),
        front(known),
        shortlist(known),
        evolution(known),
        losses(known),
        spaces(known),
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
    return section(
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
        f"{len(architecture.blocks)} blocks, {architecture.classes} classes, "
        f"{architecture.activation}."
    )
    return section("The network", text, strip(architecture) + table(architecture))


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
    return section("Accuracy", text, f'<div class="card">{bars}</div>')


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
    return section("Settings", "All of them are in plan.json.", f'<ol class="words">{inner}</ol>')


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
    return section("How to go on", text, f'<pre class="card">{lines}</pre>')


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
