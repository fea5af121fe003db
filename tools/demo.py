"""`./sconsw demo`: keyword firmware hears a voice, on an emulated microcontroller or on yours.

The firmware of `apps/kws` is built: audio front end, streamed network and detector. A synthetic
voice says Arabic words, some that the network knows and some that it does not; the sound is played
into the firmware, which tells the words that it hears. The network was trained on recordings of
people, not on this voice, and hears some words of it and not others ("yes", "right" and "forward",
for example); what is said here are some that it hears, and some that are no commands. Then what it
costs, and whether this computer gives the same bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from thumbnet.apps.kws.detector import read_settings
from thumbnet.apps.kws.emulated import Costs, EmulatedRun, emulate_listener
from thumbnet.apps.kws.linked import LinkedRun, linked, listen_over_link
from thumbnet.apps.kws.listener import HOP_SECONDS, Heard, HostListener
from thumbnet.apps.kws.model_files import COMMITTED
from thumbnet.apps.kws.wav import read_wav
from thumbnet.codegen.errors import ThumbnetError
from thumbnet.codegen.targets import board
from thumbnet.tools.speech import SAMPLE_RATE, Utterance, record
from thumbnet.tools.transport import is_port

BOARD = "mps2-an386"  # Cortex-M4
CLOCK_HZ = 64_000_000  # of an nRF52840, a Cortex-M4 that runs from a coin cell
LATE_SECONDS = 1.0  # behind its end, a word may still be told


@dataclass(frozen=True)
class Word:
    """What is said, by which voice, and what it means; `known`: the network was trained on it."""

    text: str
    voice: str
    speed: int  # words a minute
    meaning: str
    known: bool = True


WORDS = (
    Word("فوق", "ar+m6", 130, "up"),
    Word("أَسْفَل", "ar+m2", 170, "down"),
    Word("كتاب", "ar+m2", 150, "book", known=False),
    Word("يَسار", "ar+m8", 170, "left"),
    Word("اِبْدَأْ", "ar+m1", 170, "start"),
    Word("مدرسة", "ar+m1", 150, "school", known=False),
    Word("خلف", "ar+m2", 150, "backward"),
    Word("لا", "ar+m2", 170, "no"),
    Word("شكرا", "ar+m8", 150, "thanks", known=False),
    Word("فوق", "ar", 130, "up"),
    Word("اِبْدَأْ", "ar+m4", 170, "start"),
    Word("يَسارْ", "ar+m7", 170, "left"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="thumbnet.tools.demo", description=__doc__)
    parser.add_argument(
        "--on",
        default=BOARD,
        metavar="BOARD|PORT",
        help=f"an emulated board (default {BOARD}), or the port of a board that holds the firmware "
        "(docs/boards.md), e.g. /dev/ttyACM0",
    )
    parser.add_argument(
        "--sound", type=Path, metavar="FILE.wav", help="play this instead of the synthetic voice"
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=COMMITTED,
        metavar="DIR",
        help="what 'python -m thumbnet.apps.kws export' wrote (default: the network of apps/kws)",
    )
    parsed = parser.parse_args(arguments)
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    try:
        return _demo(console, parsed.on, parsed.sound, parsed.model)
    except ThumbnetError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1


def _demo(console: Console, on: str, sound: Path | None, model: Path) -> int:
    settings = read_settings(model)
    listener = HostListener(model, settings)
    starts: tuple[float, ...] = ()
    if sound is None:
        spoken = record([Utterance(w.text, w.voice, w.speed) for w in WORDS])
        samples, starts = spoken.samples, spoken.starts
        source = f"espeak-ng says {len(WORDS)} words in Arabic"
    else:
        samples, source = read_wav(sound), str(sound)
    console.print(
        f"{source}, {samples.size / SAMPLE_RATE:.1f} s; keyword firmware listens on {on} for "
        f"{', '.join(listener.facts.words)}\n"
    )

    def tell(heard: Heard) -> None:
        console.print(f"  {heard}")

    run: EmulatedRun | LinkedRun
    if is_port(on) or board(on).runner == "link":
        with linked(on, model, settings) as link:
            run = listen_over_link(link, model, settings, samples, tell=tell)
    else:
        run = emulate_listener(model, settings, samples, on, tell=tell)
    console.print()
    if starts:
        _show_words(console, run.heard, starts)
    if isinstance(run, EmulatedRun):
        _show_costs(console, listener, run.costs)
    else:
        _show_cycles(console, run)
    unequal = _unequal(listener, samples, run.posteriors, run.heard)
    if unequal:
        print(f"demo: {unequal}", file=sys.stderr)
        return 1
    console.print(
        f"all {len(run.posteriors)} outputs of the network, and the words, are those of the same C "
        "on this computer, byte for byte"
    )
    return 0


def heard_of(
    heard: Sequence[Heard], starts: Sequence[float], index: int, words: Sequence[Word] = WORDS
) -> list[Heard]:
    """What was told while a word was said, and until the next began."""
    end = starts[index + 1] if index + 1 < len(words) else float("inf")
    return [h for h in heard if starts[index] <= h.seconds < end]


def _show_words(console: Console, heard: Sequence[Heard], starts: Sequence[float]) -> None:
    table = Table("at", "voice", "said", "heard", title_justify="left")
    right = 0
    for i, word in enumerate(WORDS):
        told = [h.word for h in heard_of(heard, starts, i)]
        wanted = [word.meaning] if word.known else []
        right += told == wanted
        said = word.meaning if word.known else f"({word.meaning}: not a command)"
        colour = "green" if told == wanted else "red"
        table.add_row(
            f"{starts[i]:.2f} s", word.voice, said, f"[{colour}]{', '.join(told) or '-'}[/{colour}]"
        )
    console.print(table)
    console.print(
        f"{right} of {len(WORDS)} right. The network has learnt from people; this voice is "
        "synthetic, and none of its training.\n"
    )


def _show_costs(console: Console, listener: HostListener, costs: Costs) -> None:
    table = Table("", "", title=f"Keyword firmware on {costs.on} (emulated)", title_justify="left")
    table.columns[1].justify = "right"
    runs = 1 / (listener.run_hops * 0.02)
    rows = {"multiply-accumulates a second": f"{round(listener.manifest.macs * runs):,}"}
    cycles = costs.cycles or {}
    for part, label in (
        ("front_end", "cycles a second (estimate): audio front end"),
        ("network", "cycles a second (estimate): network"),
        ("detector", "cycles a second (estimate): detector"),
        ("all", "cycles a second (estimate): all"),
    ):
        rows[label] = f"{cycles[part]:,}"
    rows[f"  share of {CLOCK_HZ // 1_000_000} MHz"] = f"{cycles['all'] / CLOCK_HZ:.1%}"
    rows["SRAM, bytes: all, with stack"] = f"{costs.sram:,}"
    rows["  network: state, input, output, between"] = f"{listener.manifest.arena_bytes:,}"
    rows["  stack"] = f"{costs.stack:,}"
    rows["flash, bytes: all"] = f"{costs.flash:,}"
    rows["  weights and tables"] = f"{costs.weights:,}"
    for label, value in rows.items():
        table.add_row(label, value)
    console.print(table)


def _show_cycles(console: Console, run: LinkedRun) -> None:
    cycles = run.cycles / (run.hops * HOP_SECONDS)
    console.print(
        f"{run.board}: {cycles:,.0f} cycles for a second of sound by its own counter, "
        f"{cycles / run.hz:.1%} of {run.hz / 1e6:g} MHz"
    )


def _unequal(
    listener: HostListener,
    samples: NDArray[np.int16],
    posteriors: NDArray[np.int8],
    heard: Sequence[Heard],
) -> str:
    """How the board differs from this computer; empty where it does not."""
    here = listener.listen(samples)
    if not np.array_equal(here.posteriors, posteriors):
        return "the network's outputs on the board differ from those on this computer"
    if listener.heard(here) != list(heard):
        return "the words on the board differ from those on this computer"
    return ""


if __name__ == "__main__":
    sys.exit(main())
