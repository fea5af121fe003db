"""The `thumbnet` command."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from thumbnet import __version__
from thumbnet.codegen.compile import INPUT_MODES, Options, compile_model
from thumbnet.codegen.errors import DataError, ThumbnetError
from thumbnet.codegen.targets import boards as all_boards
from thumbnet.tools import kernel_bench, tables
from thumbnet.tools.arguments import (
    Input,
    Json,
    MaxFlash,
    MaxSram,
    MaxStep,
    Model,
    Name,
    On,
    Optimize,
    Stepper,
    print_json,
    progress,
)
from thumbnet.tools.arrays import (
    Array,
    load_array,
    random_calls,
    save_array,
)
from thumbnet.tools.comparison import (
    calls_to_fill,
    check_model,
    quantization_result,
    reference_of,
)
from thumbnet.tools.firmware_command import firmware, flash
from thumbnet.tools.search_command import search
from thumbnet.tools.session import (
    Place,
    Session,
    compiled_result,
    cost_result,
    items_of,
    open_session,
    output_of,
    place_named,
    run_calls,
    run_result,
)

STATELESS_CALLS, STATEFUL_CALLS = 24, 50

app = typer.Typer(
    name="thumbnet",
    help="Packs a neural network into a microcontroller.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


# ---- commands --------------------------------------------------------------------------------


@app.command("compile")
def compile_command(
    model: Model,
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to write into.")],
    name: Name = None,
    target: Annotated[
        str, typer.Option("--target", help="cortex-m0, m0plus, m3, m4, m7, m33, or host.")
    ] = "cortex-m4",
    optimize: Optimize = "balanced",
    max_sram: MaxSram = None,
    max_flash: MaxFlash = None,
    input_mode: Input = "whole",
    stepper: Stepper = False,
    max_step_cycles: MaxStep = None,
    as_json: Json = False,
) -> None:
    """Turn a model into a folder of C."""
    limits = (max_sram, max_flash)
    options = Options(target, optimize, *limits, name, input_mode, stepper, max_step_cycles)
    with progress(f"compiling {model.name}"):
        compiled = compile_model(model, out, options)
    result = {**compiled_result(compiled.manifest), "files": list(compiled.files)}
    if as_json:
        print_json(result)
    else:
        tables.show_compiled(result, out)


@app.command()
def run(
    model: Model,
    on: On = "host",
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            help="A .npy for each input, in order (default: random numbers), laid out as the model "
            "file has it: NHWC for .tflite, the module's own (NCHW) for .pt2; or the words whole, "
            "rows or stream, as in compile.",
        ),
    ] = None,
    outputs: Annotated[
        list[Path] | None,
        typer.Option("--output", help="Where to write each output, as .npy, laid out likewise."),
    ] = None,
    profile: Annotated[bool, typer.Option("--profile", help="Figures of every layer.")] = False,
    optimize: Optimize = "balanced",
    max_sram: MaxSram = None,
    max_flash: MaxFlash = None,
    stepper: Stepper = False,
    max_step_cycles: MaxStep = None,
    as_json: Json = False,
) -> None:
    """Run a model once for each item of its input."""
    place = place_named(on)
    modes = [word for word in inputs or [] if re.fullmatch(INPUT_MODES, word)]
    paths = [Path(word) for word in inputs or [] if word not in modes]
    mode = modes[-1] if modes else "whole"
    options = Options(
        place.target, optimize, max_sram, max_flash, None, mode, stepper, max_step_cycles
    )
    with progress(f"running {model.name} on {on}"):
        session = open_session(model, place, options)
        calls, stacked = _read_calls(session, paths)
        outcome = run_calls(session, calls, profile=profile)
    _write_outputs(session, outcome.outputs, stacked, outputs or [])
    result = run_result(session, outcome)
    if as_json:
        print_json(result)
    else:
        tables.show_results([result])
        if not outputs:
            tables.show_outputs(session.manifest, outcome.outputs[-1])


def _read_calls(session: Session, paths: list[Path]) -> tuple[list[list[Array]], bool]:
    edges = session.manifest.inputs
    if not paths:
        return random_calls(edges, 8)[-1:], False
    if len(paths) != len(edges):
        names = ", ".join(e.name for e in edges)
        raise DataError(f"the model has {len(edges)} inputs ({names}); {len(paths)} were given")
    columns, stacked = [], set()
    for i, path in enumerate(paths):
        items, is_stacked = items_of(session, i, load_array(path), str(path))
        columns.append(items)
        stacked.add(is_stacked)
    if len({len(c) for c in columns}) != 1 or len(stacked) != 1:
        raise DataError("the inputs hold different numbers of calls")
    return [list(call) for call in zip(*columns, strict=True)], stacked.pop()


def _write_outputs(
    session: Session, calls: list[list[Array]], stacked: bool, paths: list[Path]
) -> None:
    edges = session.manifest.outputs
    if not paths:
        return
    if len(paths) != len(edges):
        names = ", ".join(e.name for e in edges)
        raise DataError(f"the model has {len(edges)} outputs ({names}); {len(paths)} were named")
    for i, path in enumerate(paths):
        save_array(path, output_of(session, i, [call[i] for call in calls], stacked))


@app.command()
def check(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL...", help="Models to compare.")],
    on: Annotated[
        list[str] | None, typer.Option("--on", help="Where to run; may be given several times.")
    ] = None,
    calls: Annotated[
        int | None,
        typer.Option("--calls", min=1, help="Inputs to draw; default 24, 50 with state."),
    ] = None,
    reference: Annotated[
        Path | None, typer.Option("--reference", help="The .tflite or .pt2 behind a folder.")
    ] = None,
    float_model: Annotated[
        Path | None,
        typer.Option("--float", help="For .pt2: the float model's .pt2, to compare layers with."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="For .pt2: a .npz with inputs [N, ...] as the module takes "
            "them and labels [N], or a .npy with inputs.",
        ),
    ] = None,
    optimize: Optimize = "balanced",
    max_sram: MaxSram = None,
    max_flash: MaxFlash = None,
    input_mode: Input = "whole",
    stepper: Stepper = False,
    max_step_cycles: MaxStep = None,
    as_json: Json = False,
) -> None:
    """Compare a model with the reference interpreter, byte for byte; a .pt2 also with the quantised
    program and the float model (docs/pytorch.md)."""
    places = [place_named(name) for text in on or ["host"] for name in text.split(",")]
    comparisons, details = [], []
    for model in models:
        with progress(f"comparing {model.name} with PyTorch"):
            detail = quantization_result(reference or model, float_model, data)
        details += [detail] * len(places)
        for place in places:
            limits = (max_sram, max_flash)
            options = Options(
                place.target, optimize, *limits, None, input_mode, stepper, max_step_cycles
            )
            with progress(f"checking {model.name} on {place.name}"):
                session = open_session(model, place, options)
                manifest = session.manifest
                count = STATEFUL_CALLS if manifest.state else STATELESS_CALLS
                count += calls_to_fill(manifest)
                against = reference_of(session, reference)
                comparisons.append(check_model(session, against, calls or count))
    if as_json:
        results = zip(comparisons, details, strict=True)
        print_json({"results": [{**vars(c), **detail} for c, detail in results]})
    else:
        tables.show_comparisons(comparisons)
        for i in range(0, len(details), len(places)):
            tables.show_quantization(comparisons[i].model, details[i])
    if not all(c.equal for c in comparisons):
        different = [f"{c.model} on {c.on}" for c in comparisons if not c.equal]
        print(f"thumbnet: outputs differ: {', '.join(different)}", file=sys.stderr)
        raise typer.Exit(1)
    far = [d for d in details if d and d["program"]["max_layer_difference"] > 1]
    if far:
        print("thumbnet: a layer is more than one step from the program", file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def bench(
    models: Annotated[
        list[Path] | None, typer.Argument(metavar="MODEL...", help="Models to measure.")
    ] = None,
    on: On = "mps2-an386",
    profile: Annotated[bool, typer.Option("--profile", help="Figures of every layer.")] = False,
    kernels: Annotated[
        bool,
        typer.Option("--kernels", help="No models: every kind of kernel over a grid of shapes."),
    ] = False,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="With --kernels: a .png to draw, too.")
    ] = None,
    optimize: Optimize = "balanced",
    max_sram: MaxSram = None,
    max_flash: MaxFlash = None,
    input_mode: Input = "whole",
    stepper: Stepper = False,
    max_step_cycles: MaxStep = None,
    as_json: Json = False,
) -> None:
    """Measure cycles, arena, stack and flash: the second of two calls on a fixed input."""
    if bool(models) == kernels or (picture and not kernels):
        raise typer.BadParameter("give models, or --kernels (and --picture only with that)")
    place = place_named(on)
    if kernels:
        _bench_kernels(place, optimize, picture, as_json)
        return
    results = []
    for model in models or []:
        limits = (max_sram, max_flash)
        options = Options(
            place.target, optimize, *limits, None, input_mode, stepper, max_step_cycles
        )
        with progress(f"measuring {model.name} on {on}"):
            session = open_session(model, place, options)
            calls = random_calls(session.manifest.inputs, 8)[-2:]
            results.append(run_result(session, run_calls(session, calls, profile=profile)))
    if as_json:
        print_json({"results": results})
    else:
        tables.show_results(results)


def _bench_kernels(place: Place, optimize: str, picture: Path | None, as_json: bool) -> None:
    rows = []
    for case in kernel_bench.cases():
        with progress(f"measuring {case.kind} {case.shape} on {place.name}"):
            rows.append(kernel_bench.measure(case, place, optimize))
    if picture:
        kernel_bench.draw(rows, picture)
    if as_json:
        print_json({"kernels": rows})
    else:
        tables.show_kernels(rows)


@app.command("cost")
def cost_command(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL|ARCH.json", help="A .tflite or .pt2 file, or an architecture."
        ),
    ],
    target: Annotated[
        str, typer.Option("--target", help="cortex-m0, m0plus, m3, m4, m7, m33, or host.")
    ] = "cortex-m4",
    optimize: Optimize = "balanced",
    max_sram: MaxSram = None,
    max_flash: MaxFlash = None,
    input_mode: Input = "whole",
    stepper: Stepper = False,
    max_step_cycles: MaxStep = None,
    as_json: Json = False,
) -> None:
    """Tell what a model costs without compiling C: arena and weights exact, the rest estimated."""
    limits = (max_sram, max_flash)
    options = Options(target, optimize, *limits, None, input_mode, stepper, max_step_cycles)
    result = cost_result(model, options)
    if as_json:
        print_json(result)
    else:
        tables.show_cost(result)


app.command("firmware")(firmware)
app.command("flash")(flash)
app.command("search")(search)


@app.command("boards")
def boards_command(as_json: Json = False) -> None:
    """List what can be built for, emulated and flashed."""
    rows = [
        {
            "name": b.name,
            "target": b.target.name,
            "sram": b.sram,
            "flash": b.flash,
            "emulated": b.emulated,
        }
        for b in all_boards()
    ]
    if as_json:
        print_json({"boards": rows})
    else:
        tables.show_boards(all_boards())


def _version(wanted: bool) -> None:
    if wanted:
        print(f"thumbnet {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


# Typer brings its own click since 0.24 and uses the package before: this is UsageError in both.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]


def main() -> None:
    """Entry point: runs the command. A ThumbnetError is one line on stderr and exit status 1, wrong
    usage one line and 2; with --json both are an object on stdout too."""
    try:
        status = app(prog_name="thumbnet", standalone_mode=False)
        sys.exit(status if isinstance(status, int) else 0)
    except ThumbnetError as error:
        _refuse(error.kind, str(error), 1)
    except _UsageError as error:
        if "NoArgs" in type(error).__name__:  # not wrong: the help is what was asked for
            error.show()  # type: ignore[attr-defined]
            sys.exit(2)
        text = error.format_message()  # type: ignore[attr-defined]
        _refuse("usage", f"{text} (thumbnet -h tells more)", 2)
    except (KeyboardInterrupt, typer.Abort):
        print("thumbnet: interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(1)


def _refuse(kind: str, text: str, status: int) -> NoReturn:
    message = " ".join(text.split())
    if "--json" in sys.argv:
        print_json({"error": {"kind": kind, "message": message}})
    print(f"thumbnet: {message}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":  # torchrun -m thumbnet.tools.cli
    main()
