"""`./sconsw demo`: spoken wake words, on the host and on an emulated microcontroller.

A synthetic voice says a few sentences. Three streaming networks that other people trained listen
to the same recording, compiled by Thumbnet for this computer and for an emulated board. Every
output byte of every step is compared with the reference interpreter (TensorFlow Lite Micro).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from thumbnet.codegen.compile import Options
from thumbnet.codegen.errors import ThumbnetError
from thumbnet.codegen.frontends.tflite import load_tflite
from thumbnet.tools.reference import reference_outputs
from thumbnet.tools.session import open_session, place_named, run_calls, run_result
from thumbnet.tools.speech import SAMPLE_RATE, Utterance, record
from thumbnet.tools.wake_word import (
    FRAME_SECONDS,
    WakeWord,
    detections,
    features,
    network_inputs,
    wake_word,
)

SENTENCES = (
    Utterance("okay nabu", "en-us"),
    Utterance("good morning", "en-gb-scotland"),
    Utterance("hey jarvis", "en-us+f3"),
    Utterance("turn on the kitchen light", "en-us"),
    Utterance("alexa", "en-gb-x-rp"),
    Utterance("what a nice day", "en-us+f2"),
    Utterance("okay nabu", "en-us+m3"),
)
NETWORKS = ("okay_nabu", "hey_jarvis", "alexa")
BOARD = "mps2-an386"  # Cortex-M4

_PEERS = Path(__file__).resolve().parent / "peers.json"


@dataclass(frozen=True, eq=False)
class Steps:
    """All steps of one network in one place. `figures` is what `thumbnet run --json` prints."""

    outputs: NDArray[np.generic]  # [steps, ...]
    figures: dict[str, Any]


def run_steps(model: Path, inputs: NDArray[np.int8], on: str) -> Steps:
    """Runs `inputs` [steps, ...] in order, state carried over. Raises ThumbnetError."""
    session = open_session(model, place_named(on), Options())
    outcome = run_calls(session, [[step] for step in inputs])
    outputs = np.stack([output for (output,) in outcome.outputs])
    return Steps(outputs, run_result(session, outcome))


def reference_steps(model: Path, inputs: NDArray[np.int8]) -> NDArray[np.generic]:
    """The same steps [steps, ...] in the reference interpreter, from its initial state."""
    calls = reference_outputs(model, [[step] for step in inputs], outputs=1)
    return np.stack([output for (output,) in calls])


@dataclass(frozen=True, eq=False)
class Listened:
    """What one network made of the recording."""

    word: WakeWord
    board: Steps
    unequal: dict[str, int]  # steps that differ from the reference, by place
    heard: list[tuple[float, float]]  # seconds, mean probability


def listen(word: WakeWord, frames: NDArray[np.float32], board: str) -> Listened:
    """One network on the host and on `board`, each step compared with the reference."""
    graph = load_tflite(word.path)
    source, result = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    inputs = network_inputs(frames, source.shape, float(source.scale), source.zero_point)
    expected = reference_steps(word.path, inputs)
    places = {on: run_steps(word.path, inputs, on) for on in ("host", board)}
    unequal = {on: _differing(steps.outputs, expected) for on, steps in places.items()}
    outputs = places[board].outputs.reshape(len(inputs)).astype(np.float64)
    probabilities = (outputs - result.zero_point) * float(result.scale)
    heard = detections(probabilities, word, source.shape[1])
    return Listened(word, places[board], unequal, heard)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="thumbnet.tools.demo", description=__doc__)
    parser.add_argument("--board", default=BOARD, help=f"emulated board (default {BOARD})")
    board: str = parser.parse_args(arguments).board
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    try:
        return _demo(console, board)
    except ThumbnetError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def _demo(console: Console, board: str) -> int:
    recording = record(SENTENCES)
    frames = features(recording.samples)
    console.print(
        f"espeak-ng says {len(SENTENCES)} sentences, {recording.samples.size / SAMPLE_RATE:.1f} s; "
        f"{len(NETWORKS)} networks listen to all of it, a step every "
        f"{3 * FRAME_SECONDS * 1000:.0f} ms\n"
    )
    listened = []
    for name in NETWORKS:
        result = listen(wake_word(name), frames, board)
        steps = len(result.board.outputs)
        verdicts = ", ".join(
            f"{on}: {steps - unequal} of {steps} steps equal the reference"
            for on, unequal in result.unequal.items()
        )
        console.print(f"[bold]{name}[/bold]  {verdicts}")
        listened.append(result)
    console.print()
    for start, sentence in zip(recording.starts, SENTENCES, strict=True):
        end = start + 2.0
        heard = [
            f"[green]{item.word.phrase}[/green] at {now:.2f} s, probability {mean:.2f}"
            for item in listened
            for now, mean in item.heard
            if start <= now < end
        ]
        console.print(
            f"  {start:5.2f} s  {sentence.voice:15} {sentence.text!r:29} {'; '.join(heard) or '-'}"
        )
    console.print()
    _print_figures(console, listened, board)
    wrong = sum(sum(item.unequal.values()) for item in listened)
    if wrong:
        print(f"demo: {wrong} steps differ from the reference", file=sys.stderr)
    return 1 if wrong else 0


def _print_figures(console: Console, listened: Sequence[Listened], board: str) -> None:
    peers = json.loads(_PEERS.read_text())
    tflm = [peers["tflm"].get(item.word.name, {}) for item in listened]
    figures = [item.board.figures for item in listened]
    table = Table(title=f"One inference on {board} (emulated)", title_justify="left")
    table.add_column("")
    for item in listened:
        table.add_column(item.word.name, justify="right")
    rows: dict[str, list[int | float | None]] = {
        "multiply-accumulates": [each["macs"] for each in figures],
        "cycles (estimate)": [each["cycles"] for each in figures],
        "cycles/MAC": [_ratio(each["cycles"], each["macs"]) for each in figures],
        "arena, bytes": [each["arena_bytes"] for each in figures],
        "stack, bytes": [each["stack_bytes"] for each in figures],
        "flash: code, bytes": [each["flash"]["code"] for each in figures],
        "flash: weights, bytes": [each["flash"]["weights"] for each in figures],
        "TFLM: arena, bytes": [peer.get("sram_bytes") for peer in tflm],
        "TFLM: cycles": [_ratio(peer.get("mcycles"), 1e-6) for peer in tflm],
    }
    for label, values in rows.items():
        table.add_row(label, *map(_count, values), end_section=label.startswith("flash: weights"))
    console.print(table)
    for source in dict.fromkeys(peer["source"] for peer in tflm if peer):
        console.print(f"TFLM: {peers['sources'][source]}. -: nothing is published.")


def _differing(outputs: NDArray[np.generic], expected: NDArray[np.generic]) -> int:
    """Steps (first axis) whose bytes are not the same."""
    if outputs.dtype != expected.dtype or len(outputs) != len(expected):
        return len(expected)
    flat = outputs.reshape(len(expected), -1) != expected.reshape(len(expected), -1)
    return int(flat.any(axis=1).sum())


def _ratio(value: float | None, unit: float | None) -> float | None:
    return value / unit if value and unit else None


def _count(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) and value < 1000 else f"{round(value):,}"


if __name__ == "__main__":
    sys.exit(main())
