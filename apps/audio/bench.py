"""What the front end costs and how exact it is. It stands at the edge, beside the command: nothing
imports it, and it is all that looks from here into `tools`, for the emulator."""

from __future__ import annotations

import time
import wave
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from thumbnet.apps.audio.host import LogMel, model_folder
from thumbnet.apps.audio.log_mel import LogMelParameters
from thumbnet.apps.audio.reference import errors, hard_signals
from thumbnet.codegen.errors import DataError
from thumbnet.codegen.image import build_image
from thumbnet.codegen.targets import board as board_named
from thumbnet.codegen.toolchain import stack_bound
from thumbnet.tools.emulator import emulate

FLOORS = (8.0, 11.0, 14.0, 17.0)
_CLIPS = 300  # of a folder


def cost(front_end: LogMel, board_name: str) -> dict[str, Any]:
    """Figures of one hop on an emulated board, after one second of noise that is compared, too."""
    p = front_end.parameters
    board = board_named(board_name)
    folder = model_folder(p)
    image = build_image(folder, board)
    sound = np.random.default_rng(1).normal(0, 3000, p.sample_rate).astype(np.int16)
    hops = [sound[i : i + p.hop] for i in range(0, sound.size - p.hop + 1, p.hop)]
    run = emulate(
        image, board, front_end.manifest, [(hop.astype("<i2").tobytes(),) for hop in hops],
        profile=True,
    )  # fmt: skip
    columns = [np.frombuffer(column, np.int8) for column, ready in run.outputs if any(ready)]
    assert run.cycles is not None and run.instructions is not None and run.layers is not None
    return {
        "on": board_name,
        "equal_to_host": bool(np.array_equal(np.array(columns), front_end.features(sound))),
        "instructions": run.instructions,
        "cycles": run.cycles,
        "cycles_per_second": round(run.cycles * p.sample_rate / p.hop),
        "stages": {layer.symbol: layer.cycles for layer in run.layers},
        "stack_bytes": stack_bound(folder, board.target),
        "state_bytes": p.state_bytes,
        "scratch_bytes": p.scratch_bytes,
        "flash": {"code": image.code, "tables": image.weights},
    }


def speed(front_end: LogMel) -> float:
    """Seconds of sound a second of this machine, one thread."""
    p = front_end.parameters
    sound = np.random.default_rng(1).normal(0, 3000, 30 * p.sample_rate).astype(np.int16)
    front_end.features(sound)
    start = time.perf_counter()
    front_end.features(sound)
    return sound.size / p.sample_rate / (time.perf_counter() - start)


def exactness(
    front_end: LogMel, name: str, recordings: Sequence[NDArray[np.int16]]
) -> dict[str, Any]:
    """How far the columns of some recordings lie from the float reference, in steps."""
    off = np.concatenate(
        [errors(front_end.features(r), r, front_end.parameters) for r in recordings]
    )
    return {
        "sound": name,
        "columns": len(off),
        "largest": float(np.abs(off).max()),
        "rms": float(np.sqrt((off**2).mean())),
        "beyond_rounding": float((np.abs(off) > 0.5).mean()),
    }


def floors(
    parameters: LogMelParameters, recordings: Sequence[NDArray[np.int16]]
) -> list[dict[str, Any]]:
    """For some values of floor_log2: the share of values that are silence, and by how many steps
    values change when white noise of 3 steps rms of the samples is added."""
    noise = np.random.default_rng(3)
    noisy = [
        np.clip(r + np.rint(noise.normal(0, 3, r.size)), -32768, 32767).astype(np.int16)
        for r in recordings
    ]
    found = []
    for floor in FLOORS:
        front_end = LogMel(LogMelParameters(**{**asdict(parameters), "floor_log2": floor}))
        clean = np.concatenate([front_end.features(r) for r in recordings]).astype(int)
        other = np.concatenate([front_end.features(r) for r in noisy]).astype(int)
        found.append(
            {
                "floor_log2": floor,
                "silent": float((clean == -128).mean()),
                "saturated": float((clean == 127).mean()),
                "change": float(np.abs(other - clean).mean()),
            }
        )
    return found


def read_speech(folder: Path, rate: int) -> list[NDArray[np.int16]]:
    """Some of the .wav files below `folder`, evenly chosen; folders named `_...` are left out.

    Raises DataError where there are none, or for one that is not int16, mono, at `rate`.
    """
    paths = [p for p in sorted(folder.rglob("*.wav")) if not p.parent.name.startswith("_")]
    if not paths:
        raise DataError(f"{folder}: no .wav files are below it")
    recordings = []
    for path in paths[:: -(-len(paths) // _CLIPS)]:
        try:
            with wave.open(str(path), "rb") as file:
                form = (file.getframerate(), file.getnchannels(), file.getsampwidth())
                data = file.readframes(file.getnframes())
        except (OSError, EOFError, wave.Error) as error:
            raise DataError(f"{path}: cannot read it as a PCM .wav file: {error}") from error
        if form != (rate, 1, 2):
            raise DataError(
                f"{path}: {form[0]} Hz, {form[1]} channels, {8 * form[2]} bits; the bench takes "
                f"{rate} Hz, mono, 16 bits"
            )
        recordings.append(np.frombuffer(data, "<i2").astype(np.int16))
    return recordings


def bench(on: str, speech: Path | None) -> dict[str, Any]:
    """All figures. `speech` is a folder of recordings, or None: then without what needs them."""
    front_end = LogMel()
    p = front_end.parameters
    result: dict[str, Any] = {
        "parameters": asdict(p),
        **cost(front_end, on),
        "times_real_time_on_host": speed(front_end),
        "errors": [exactness(front_end, name, [sound]) for name, sound in hard_signals(p).items()],
    }
    if speech is not None:
        recordings = read_speech(speech, p.sample_rate)
        result["errors"].append(exactness(front_end, "speech", recordings))
        result["floors"] = floors(p, recordings)
    return result


def show(result: dict[str, Any]) -> None:
    """The figures for people."""
    console = Console()

    def table(title: str, *columns: str) -> Table:
        made = Table(title=title, title_justify="left")
        for i, column in enumerate(columns):
            made.add_column(column, justify="right" if i else "left")
        return made

    costs = table(f"one hop on {result['on']}", "", "")
    for stage, cycles in result["stages"].items():
        costs.add_row(f"cycles, {stage}", f"{cycles:,}")
    for name, value in (
        ("cycles, all (estimate)", result["cycles"]),
        ("cycles, a second of sound", result["cycles_per_second"]),
        ("state, bytes", result["state_bytes"]),
        ("scratch, bytes", result["scratch_bytes"]),
        ("stack, bytes, worst case", result["stack_bytes"]),
        ("flash, code, bytes", result["flash"]["code"]),
        ("flash, tables, bytes", result["flash"]["tables"]),
    ):
        costs.add_row(name, f"{value:,}")
    console.print(costs)
    console.print(f"bytes equal to the host's: {'yes' if result['equal_to_host'] else 'NO'}")
    console.print(f"on this host: {result['times_real_time_on_host']:,.0f} times real time")
    exact = table(
        "distance from the float reference, in steps", "sound", "columns", "largest", "rms",
        "beyond rounding",
    )  # fmt: skip
    for row in result["errors"]:
        exact.add_row(
            row["sound"], f"{row['columns']:,}", f"{row['largest']:.2f}", f"{row['rms']:.2f}",
            f"{row['beyond_rounding']:.2%}",
        )  # fmt: skip
    console.print(exact)
    if "floors" in result:
        quiet = table("floor", "floor_log2", "silent", "saturated", "change by faint noise")
        for row in result["floors"]:
            quiet.add_row(
                f"{row['floor_log2']:g}", f"{row['silent']:.1%}", f"{row['saturated']:.3%}",
                f"{row['change']:.2f} steps",
            )  # fmt: skip
        console.print(quiet)
