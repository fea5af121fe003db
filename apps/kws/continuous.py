"""The continuous test: how many words in noise are heard, and how often something else is.

`python -m thumbnet.apps.kws evaluate-stream --data DIR`. Two kinds of sound, both of speakers and
of noise files that neither training nor the choice of network and threshold has heard:

- each command clip of the testing speakers once, in noise: recall. A word counts as heard when it
  is told between its begin and a second behind its end.
- hours of noise with the other words in it: false accepts. What the first kind hears where that
  was not said counts as well.

With --choose the same is made of the validation speakers and noise files, and the detector's
settings are what does best on these.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from thumbnet.apps.command import amount, ended, natural
from thumbnet.apps.kws.dataset import (
    Corpus,
    check_commands,
    load_clips,
    load_noises,
    read_corpus,
)
from thumbnet.apps.kws.detector import (
    DetectorSettings,
    read_settings,
    write_settings,
)
from thumbnet.apps.kws.listener import HOP_SECONDS, Heard, HostListener, Listened
from thumbnet.apps.kws.model_files import COMMITTED, Facts, read_facts
from thumbnet.apps.kws.scenes import SNR_DB, Placed, Scene, make_scene
from thumbnet.codegen.errors import DataError

HOURS = 2.0
BOARD = "mps2-an386"
BOARD_MINUTES = 3.0
LATE_SECONDS = 1.0  # how long behind its end a word may be told
REFRACTORY_SECONDS = 1.0
SMOOTHINGS = (4, 6, 8, 10, 12, 14, 16, 18, 20, 25)
THRESHOLDS = tuple(round(0.20 + 0.02 * i, 2) for i in range(40))
FALSE_ACCEPTS = 20.0  # an hour, that --choose allows
TOLD_THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # whose figures are told besides

_SCENE_WORDS = 120  # a scene is a stream from a fresh start
_UNKNOWN_PAUSE = (2.0, 6.0)

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Counts:
    """Of some scenes. `told` are words that were said and told; `false_accepts` all that was told
    and not said, and `from_noise` those of them when nothing at all was said."""

    said: int
    told: int
    false_accepts: int
    from_noise: int
    hours: float
    by_word: dict[str, tuple[int, int]]  # told, said
    delay: float | None  # median, seconds from a word's end until it is told; None with no word

    @property
    def recall(self) -> float:
        return self.told / self.said if self.said else 0.0

    @property
    def false_accepts_per_hour(self) -> float:
        return self.false_accepts / self.hours if self.hours else 0.0


@dataclass(frozen=True, eq=False)
class Heardscape:
    """Scenes and the network's posteriors on them, which do not depend on the detector."""

    scenes: tuple[Scene, ...]
    runs: tuple[Listened, ...]


# ---- sound -------------------------------------------------------------------------------------


def noise_files(corpus: Corpus, facts: Facts, split: str) -> tuple[Path, ...]:
    """The noise files of a split: for testing, those that training and validation have not heard.
    Raises DataError where there are none."""
    heard = {*facts.training_noises, *facts.validation_noises}
    files = tuple(
        path
        for path in corpus.noises
        if (path.name not in heard if split == "testing" else path.name in facts.validation_noises)
    )
    if not files:
        raise DataError(f"{corpus.folder}: no noise file for {split} in _background_noise_")
    return files


def command_scenes(
    corpus: Corpus, facts: Facts, split: str, random: np.random.Generator
) -> list[Scene]:
    """Every command clip of the split's speakers once, in random order."""
    clips = [c for c in corpus.clips[split] if c.word in facts.words]
    if not clips:
        raise DataError(f"{corpus.folder}: no command words among the {split} clips")
    noises = load_noises(noise_files(corpus, facts, split))
    sounds = load_clips(clips)
    order = random.permutation(len(clips))
    return [
        make_scene(
            [(clips[i].word, sounds[i]) for i in order[at : at + _SCENE_WORDS]], noises, random
        )
        for at in range(0, len(order), _SCENE_WORDS)
    ]


def other_scenes(
    corpus: Corpus, facts: Facts, split: str, hours: float, random: np.random.Generator
) -> list[Scene]:
    """`hours` or a little more of noise and words that are no commands, all equally often."""
    clips = [c for c in corpus.clips[split] if c.word not in facts.words]
    if not clips:
        raise DataError(f"{corpus.folder}: no unknown words among the {split} clips")
    noises = load_noises(noise_files(corpus, facts, split))
    sounds = load_clips(clips)
    scenes: list[Scene] = []
    order: list[int] = []
    while sum(scene.hours for scene in scenes) < hours:
        while len(order) < _SCENE_WORDS:
            order += random.permutation(len(clips)).tolist()
        words, order = order[:_SCENE_WORDS], order[_SCENE_WORDS:]
        chosen = [(clips[i].word, sounds[i]) for i in words]
        scenes.append(make_scene(chosen, noises, random, _UNKNOWN_PAUSE))
    return scenes


# ---- counting ----------------------------------------------------------------------------------


def count(
    scenes: Sequence[Scene], heard: Sequence[Sequence[Heard]], words: Sequence[str]
) -> Counts:
    """What was told in each scene against what was said; `words` are the commands."""
    delays, false_accepts, from_noise = [], 0, 0
    by_word = dict.fromkeys(words, (0, 0))
    for scene, events in zip(scenes, heard, strict=True):
        left = list(events)
        for placed in scene.placed:
            if placed.word not in by_word:
                continue
            found = next((e for e in left if _tells(e, placed)), None)
            hits, said = by_word[placed.word]
            by_word[placed.word] = hits + (found is not None), said + 1
            if found is not None:
                left.remove(found)
                delays.append(found.seconds - placed.end)
        false_accepts += len(left)
        from_noise += sum(not any(_during(e, placed) for placed in scene.placed) for e in left)
    said = sum(n for _, n in by_word.values())
    hours = sum(scene.hours for scene in scenes)
    delay = float(np.median(delays)) if delays else None
    return Counts(said, len(delays), false_accepts, from_noise, hours, by_word, delay)


def _tells(event: Heard, placed: Placed) -> bool:
    return event.word == placed.word and _during(event, placed)


def _during(event: Heard, placed: Placed) -> bool:
    return placed.begin <= event.seconds <= placed.end + LATE_SECONDS


def listen_to(listener: HostListener, scenes: Sequence[Scene], tell: Tell) -> Heardscape:
    runs = []
    for i, scene in enumerate(scenes):
        runs.append(listener.listen(scene.samples))
        tell(f"listened to {sum(s.hours for s in scenes[: i + 1]) * 60:.0f} minutes")
    return Heardscape(tuple(scenes), tuple(runs))


def heard_with(
    listener: HostListener, scape: Heardscape, settings: DetectorSettings
) -> list[list[Heard]]:
    """What these settings make of the posteriors."""
    return [listener.heard(listener.decide(run, settings), settings) for run in scape.runs]


# ---- choosing ----------------------------------------------------------------------------------


def choose(
    listener: HostListener, commands: Heardscape, others: Heardscape, limit: float, how: str
) -> DetectorSettings:
    """The settings of most recall of those with at most `limit` false accepts an hour, over both
    kinds of scenes; of equals the one of fewest false accepts. Raises DataError where there is
    nothing.

    One threshold serves all words: chosen for each alone, on a few speakers, they fit these only.
    """
    words = listener.facts.words
    refractory = round(REFRACTORY_SECONDS / (listener.run_hops * HOP_SECONDS))
    best: tuple[float, float] = (0.0, 0.0)  # recall, less false accepts an hour
    chosen = None
    for smoothing in SMOOTHINGS:
        for threshold in THRESHOLDS:
            settings = DetectorSettings(smoothing, refractory, threshold, how)
            ours = count(commands.scenes, heard_with(listener, commands, settings), words)
            if ours.recall < best[0]:
                continue
            theirs = count(others.scenes, heard_with(listener, others, settings), words)
            rate = (ours.false_accepts + theirs.false_accepts) / (ours.hours + theirs.hours)
            if rate <= limit and ours.told and (chosen is None or (ours.recall, -rate) > best):
                best, chosen = (ours.recall, -rate), settings
    if chosen is None:
        raise DataError(
            f"no threshold keeps to {limit:g} false accepts an hour on the validation clips; "
            "allow more with --false-accepts, or train longer"
        )
    return chosen


# ---- the board ---------------------------------------------------------------------------------


def on_board(
    model: Path, settings: DetectorSettings, scene: Scene, minutes: float, on: str
) -> dict[str, Any]:
    """The first minutes of a scene on an emulated board: equal to the host, and at what cost."""
    from thumbnet.apps.kws.emulated import emulate_listener

    samples = scene.samples[: round(minutes * 60 * 16000)]
    listener = HostListener(model, settings)
    host = listener.listen(samples)
    board = emulate_listener(model, settings, samples, on)
    return {
        "minutes": samples.size / 16000 / 60,
        "equal_posteriors": bool(np.array_equal(board.posteriors, host.posteriors)),
        "equal_events": board.heard == listener.heard(host),
        "events": len(board.heard),
        **board.costs.to_json(),
    }


# ---- the command -------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 refused with a reason or not equal on the board, 2 wrong usage."""
    parsed = _parser().parse_args(arguments)

    def tested() -> int:
        result = run(parsed, lambda line: print(line, file=sys.stderr, flush=True))
        print(json.dumps(result)) if parsed.json else show(result)
        board = result["board"]
        return 0 if board is None or (board["equal_posteriors"] and board["equal_events"]) else 1

    return ended("kws", tested, as_json=parsed.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m thumbnet.apps.kws evaluate-stream", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument("--model", type=Path, default=COMMITTED, metavar="DIR")
    parser.add_argument(
        "--hours", type=amount, default=HOURS,
        help=f"of noise and unknown words (default {HOURS:g})",
    )  # fmt: skip
    parser.add_argument("--seed", type=natural, default=0, metavar="N")
    parser.add_argument(
        "--choose",
        action="store_true",
        help="first choose the detector's settings on validation speakers and write them beside "
        "the network",
    )
    parser.add_argument(
        "--false-accepts", type=amount, default=FALSE_ACCEPTS, metavar="N",
        help=f"an hour, that --choose allows (default {FALSE_ACCEPTS:g})",
    )  # fmt: skip
    parser.add_argument("--on", default=BOARD, help=f"emulated board, or host (default {BOARD})")
    parser.add_argument(
        "--minutes", type=amount, default=BOARD_MINUTES,
        help=f"that the board listens (default {BOARD_MINUTES:g})",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    return parser


def run(parsed: argparse.Namespace, tell: Tell) -> dict[str, Any]:
    """The whole test. Raises ThumbnetError."""
    corpus = read_corpus(parsed.data)
    facts = read_facts(parsed.model)
    settings = DetectorSettings() if parsed.choose else read_settings(parsed.model)
    listener = HostListener(parsed.model, settings)
    check_commands(corpus, facts.words)

    def scapes(split: str, seed: int) -> tuple[Heardscape, Heardscape]:
        random = np.random.default_rng((parsed.seed, seed))
        commands = command_scenes(corpus, facts, split, random)
        others = other_scenes(corpus, facts, split, parsed.hours, random)
        tell(f"{split}: {sum(s.hours for s in [*commands, *others]) * 60:.0f} minutes of sound")
        return listen_to(listener, commands, tell), listen_to(listener, others, tell)

    if parsed.choose:
        how = (
            f"most recall at no more than {parsed.false_accepts:g} false accepts an hour on the "
            f"validation speakers of {corpus.folder.name}"
        )
        settings = choose(listener, *scapes("validation", 1), parsed.false_accepts, how)
        write_settings(parsed.model, settings)
    commands, others = scapes("testing", 0)
    ours = count(commands.scenes, heard_with(listener, commands, settings), facts.words)
    theirs = count(others.scenes, heard_with(listener, others, settings), facts.words)
    trade_off = []
    for threshold in TOLD_THRESHOLDS:
        other = replace(settings, threshold=threshold)
        hits = count(commands.scenes, heard_with(listener, commands, other), facts.words)
        misses = count(others.scenes, heard_with(listener, others, other), facts.words)
        trade_off.append((threshold, hits.recall, misses.false_accepts_per_hour))
    board = None
    if parsed.on != "host":
        tell(f"{parsed.minutes:g} minutes on {parsed.on}")
        board = on_board(parsed.model, settings, commands.scenes[0], parsed.minutes, parsed.on)
    return {
        "recall": ours.recall,
        "words": ours.said,
        "recall_by_word": {
            word: told / said for word, (told, said) in ours.by_word.items() if said
        },
        "delay_seconds": ours.delay,
        "wrong_words_per_hour": ours.false_accepts_per_hour,
        "false_accepts_per_hour": theirs.false_accepts_per_hour,
        "false_accepts": theirs.false_accepts,
        "false_accepts_from_noise": theirs.from_noise,
        "unknown_words": sum(len(scene.placed) for scene in others.scenes),
        "hours": theirs.hours,
        "noise_files": [path.name for path in noise_files(corpus, facts, "testing")],
        "settings": vars(settings),
        "trade_off": [
            {"threshold": t, "recall": recall, "false_accepts_per_hour": rate}
            for t, recall, rate in trade_off
        ],
        "board": board,
    }


def show(result: dict[str, Any]) -> None:
    """The figures for people."""
    console = Console(highlight=False, soft_wrap=True)
    settings = result["settings"]
    console.print(
        f"threshold {settings['threshold']:g} of the mean of {settings['smoothing']} posteriors, "
        f"{settings['refractory']} runs of rest; chosen: {settings['chosen']}\n"
    )
    table = Table("", "", title="Continuous test, testing speakers", title_justify="left")
    delay = result["delay_seconds"]
    rows = {
        f"recall of {result['words']} words at {SNR_DB:g} dB": f"{result['recall']:.1%}",
        **{f"  {word}": f"{value:.1%}" for word, value in result["recall_by_word"].items()},
        "seconds from a word's end until it is told, median": (
            "-" if delay is None else f"{delay:.2f}"
        ),
        "wrong words an hour, among them": f"{result['wrong_words_per_hour']:.2f}",
        f"false accepts an hour, in {result['hours']:.2f} hours of noise and "
        f"{result['unknown_words']} unknown words": f"{result['false_accepts_per_hour']:.2f}",
        "  of all of them, when nothing was said": str(result["false_accepts_from_noise"]),
    }
    for label, value in rows.items():
        table.add_row(label, value)
    console.print(table)
    others = Table(
        "threshold", "recall", "false accepts an hour", title="With other thresholds",
        title_justify="left",
    )  # fmt: skip
    for row in result["trade_off"]:
        rate = f"{row['false_accepts_per_hour']:.1f}"
        others.add_row(f"{row['threshold']:g}", f"{row['recall']:.1%}", rate)
    console.print(others)
    console.print(f"noise: {', '.join(result['noise_files'])}")
    board = result["board"]
    if board is not None:
        console.print(
            f"{board['minutes']:.1f} minutes on {board['on']}: posteriors "
            f"{'equal' if board['equal_posteriors'] else 'DIFFER'}, {board['events']} words "
            f"{'equal' if board['equal_events'] else 'DIFFER'}; SRAM {board['sram']:,} bytes, "
            f"flash {board['flash']:,} bytes, {board['cycles']['all']:,} cycles (estimate) a "
            "second of sound"
        )
