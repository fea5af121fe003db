"""`python -m thumbnet.apps.kws train|evaluate|export|firmware|listen`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.table import Table

from thumbnet.apps.command import ended, natural, positive
from thumbnet.apps.kws.dataset import most_frequent_words, read_corpus
from thumbnet.apps.kws.evaluation import Evaluation, Score, evaluate
from thumbnet.apps.kws.model_files import COMMITTED, read_architecture
from thumbnet.codegen.errors import ToolError


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 refused with a reason, 2 wrong usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["listen"]:
        from thumbnet.apps.kws.listen import main as listen

        return listen(words[1:])
    if words[:1] == ["evaluate-stream"]:
        from thumbnet.apps.kws.continuous import main as evaluate_stream

        return evaluate_stream(words[1:])
    parsed = _parser().parse_args(words)
    run = {
        "train": _train,
        "evaluate": _evaluate,
        "export": _export,
        "firmware": _firmware,
    }[parsed.command]
    again = "; the same command goes on from here" if parsed.command == "train" else ""
    as_json = bool(getattr(parsed, "json", False))
    stopped = f"stopped{again}"
    return ended("kws", lambda: run(parsed) or 0, as_json=as_json, stopped=stopped)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m thumbnet.apps.kws", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    train = commands.add_parser(
        "train", help="train on a folder of the Google Speech Commands layout, or go on training"
    )
    train.add_argument("--data", type=Path, required=True, metavar="DIR")
    train.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="results go to DIR/seed-N"
    )
    train.add_argument(
        "--words",
        metavar="A,B,…",
        help="the words to recognise (default: the ten with most clips for training)",
    )
    train.add_argument("--seed", type=natural, default=0, metavar="N")
    train.add_argument("--epochs", type=positive, metavar="N")
    train.add_argument(
        "--renderings", type=positive, default=24, metavar="N", help="of each clip (default 24)"
    )
    train.add_argument(
        "--architecture",
        type=Path,
        metavar="ARCH.json",
        help="of a searched network (default: the network made by hand)",
    )
    train.add_argument(
        "--recipe",
        choices=("strong", "gentle"),
        default="strong",
        help="how much the sound is varied: strong (default) for other voices and rooms, gentle "
        "for clips that are like those of training",
    )
    train.add_argument(
        "--teacher",
        type=Path,
        metavar="DIR",
        help="a trained network, as train or export wrote it, whose outputs are learnt, too",
    )

    scored = commands.add_parser("evaluate", help="score a network on a folder's testing clips")
    scored.add_argument("--data", type=Path, required=True, metavar="DIR")
    scored.add_argument(
        "--model",
        type=Path,
        default=COMMITTED,
        metavar="DIR",
        help="what export wrote (default: the network that comes with Thumbnet)",
    )
    scored.add_argument("--json", action="store_true", help="one JSON object on stdout")

    export = commands.add_parser("export", help="quantise a trained network: kws.tflite and its C")
    export.add_argument("--run", type=Path, required=True, metavar="DIR", help="a DIR/seed-N")
    export.add_argument("--out", type=Path, required=True, metavar="DIR")
    export.add_argument("--target", default="cortex-m4")
    export.add_argument(
        "--input", default="stream", help="of the C: whole, stream or stream:N (default stream)"
    )

    built = commands.add_parser("firmware", help="the firmware as an image of a board")
    built.add_argument("--board", required=True, help="a name that 'thumbnet boards' lists")
    built.add_argument("-o", "--out", type=Path, required=True, metavar="F.elf")
    built.add_argument(
        "--model",
        type=Path,
        default=COMMITTED,
        metavar="DIR",
        help="what export wrote (default: the network that comes with Thumbnet)",
    )

    commands.add_parser("listen", help="words in sound: see listen --help", add_help=False)
    commands.add_parser(
        "evaluate-stream",
        help="score the whole firmware on hours of sound: see evaluate-stream --help",
        add_help=False,
    )
    return parser


def _needs_torch(what: str) -> None:
    if not all(find_spec(package) for package in ("torch", "torchao")):
        raise ToolError(f"{what} needs torch and torchao: pip install 'thumbnet[apps]'")


def _firmware(parsed: argparse.Namespace) -> None:
    from thumbnet.apps.kws.detector import read_settings
    from thumbnet.apps.kws.listener import firmware
    from thumbnet.codegen.image import FORMATS, write_image
    from thumbnet.codegen.targets import board

    if parsed.out.suffix.lower() not in FORMATS:
        raise ToolError(f"'{parsed.out}' does not end in {', '.join(FORMATS)}")
    on = board(parsed.board)
    image = firmware(parsed.model, read_settings(parsed.model), on)
    write_image(image.elf, parsed.out)
    print(f"wrote {parsed.out}: {image.flash:,} bytes of flash, {image.sram:,} of SRAM")
    if on.pyocd or on.openocd:
        print(f"next: thumbnet flash {parsed.out} --board {on.name}")


def _train(parsed: argparse.Namespace) -> None:
    _needs_torch("training")
    from thumbnet.apps.kws.pipeline import Training, run_training
    from thumbnet.apps.kws.training import RECIPES

    corpus = read_corpus(parsed.data)
    words = (
        tuple(sorted({word for word in map(str.strip, parsed.words.split(",")) if word}))
        if parsed.words
        else most_frequent_words(corpus)
    )
    recipe = RECIPES[parsed.recipe]
    if parsed.epochs is not None:
        recipe = replace(recipe, epochs=parsed.epochs)
    architecture = read_architecture(parsed.architecture, words) if parsed.architecture else None
    chosen = Training(
        parsed.out, words, parsed.seed, parsed.renderings, recipe, architecture, parsed.teacher
    )
    facts = run_training(corpus, chosen, lambda line: print(line, file=sys.stderr, flush=True))
    print(
        f"{chosen.run}: validation accuracy {facts.validation_accuracy:.2%} at epoch {facts.epoch}"
    )


def _export(parsed: argparse.Namespace) -> None:
    _needs_torch("quantising")
    from thumbnet.apps.kws.pipeline import run_export
    from thumbnet.codegen.compile import Options

    options = Options(target=parsed.target, input=parsed.input)
    compiled = run_export(parsed.run, parsed.out, options)
    print(f"{parsed.out}: kws.tflite, kws.json, kws.npz; C in {compiled.folder}")


def _evaluate(parsed: argparse.Namespace) -> None:
    result = evaluate(read_corpus(parsed.data), parsed.model)
    if result.float_score is None:
        print(
            "kws: the float network is left out: it needs torch (pip install 'thumbnet[apps]')",
            file=sys.stderr,
        )
    if parsed.json:
        print(json.dumps(result.to_json()))
    else:
        _show(result)


def _show(result: Evaluation) -> None:
    console = Console(highlight=False)
    names = result.facts.classes
    silences = result.silence_clips
    console.print(
        f"{result.clips} clips: {result.clips - silences} of {len(result.speakers)} speakers, "
        f"{silences} of silence from {', '.join(path.name for path in result.silence_files)}\n"
    )
    scores: list[tuple[str, Score]] = [("int8", result.int8_score)]
    if result.float_score is not None:
        scores.insert(0, ("float", result.float_score))
    accuracy = Table("", *(name for name, _ in scores), title="Accuracy", title_justify="left")
    accuracy.add_row("all", *(f"{s.accuracy:.2%}" for _, s in scores), end_section=True)
    for speaker in result.speakers:
        accuracy.add_row(speaker, *(f"{s.by_speaker[speaker]:.2%}" for _, s in scores))
    console.print(accuracy)
    table = Table("", title="What the int8 network heard, clips", title_justify="left")
    for number in range(1, len(names) + 1):
        table.add_column(str(number), justify="right")
    for number, name in enumerate(names):
        heard = (str(n) if n else "·" for n in result.int8_score.confusion[number])
        table.add_row(f"{number + 1} {name}", *heard)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
