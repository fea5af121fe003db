"""The continuous test: how many words in noise are heard, and how often something else is.

`python -m thumbnet.apps.kws evaluate-stream --data DIR`. Two kinds of sound, both of speakers and
of noise files that neither training nor any choice has heard:

- each command clip of the testing speakers once, in noise: recall. A word counts as heard when it,
  and no other, is told between its begin and a second behind its end.
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
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from thumbnet.apps.kws.dataset import (
    Corpus,
    check_commands,
    load_clips,
    load_noises,
    read_corpus,
)
from thumbnet.apps.kws.detector import DetectorSettings, read_settings, write_settings
from thumbnet.apps.kws.listener import HOP_SECONDS, Heard, HostListener, Listened
from thumbnet.apps.kws.model_files import COMMITTED, Facts
from thumbnet.apps.kws.scenes import Placed, Scene, make_scene
from thumbnet.codegen.errors import DataError, ThumbnetError

HOURS = 2.0
BOARD = "mps2-an386"
BOARD_MINUTES = 3.0
LATE_SECONDS = 1.0  # how long behind its end a word may be told
REFRACTORY_SECONDS = 1.0
SMOOTHINGS = (2, 3, 4, 5, 6, 8, 10, 12)
THRESHOLDS = tuple(round(0.30 + 0.01 * i, 2) for i in range(70))
FALSE_ACCEPTS = 1.0  # an hour, that --choose allows

_SCENE_WORDS = 120  # a scene is a stream from a fresh start
_UNKNOWN_PAUSE = (2.0, 6.0)

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Counts:
    """Of some scenes. A word's `told` are words that were said and told; `false_accepts` all that
    was told and not said."""

    said: int
    told: int
    false_accepts: int
    hours: float
    by_word: dict[str, tuple[int, int]]  # told, said

    @property
    def recall(self) -> float:
        return self.told / self.said if self.said else 0.0

    @property
    def false_accepts_per_hour(self) -> float:
        return self.false_accepts / self.hours if self.hours else 0.0


@dataclass(frozen=True, eq=False)
class Heardscape:
    """Scenes with the network's posteriors on them, which settings of the detector do not change."""

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
    """`hours` or a little more of noise and words that are no commands, each as often as another."""
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


def count(scenes: Sequence[Scene], heard: Sequence[Sequence[Heard]], words: Sequence[str]) -> Counts:
    """What was told in each scene against what was said; `words` are the commands."""
    told, false_accepts = 0, 0
    by_word = {word: (0, 0) for word in words}
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
                told += 1
        false_accepts += len(left)
    said = sum(n for _, n in by_word.values())
    hours = sum(scene.hours for scene in scenes)
    return Counts(said, told, false_accepts, hours, by_word)


def _tells(event: Heard, placed: Placed) -> bool:
    return (
        event.word == placed.word
        and placed.begin <= event.seconds <= placed.end + LATE_SECONDS
    )


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
    return [
        listener.heard(
            replace(listener.decide(run.posteriors, settings), hops=run.hops), settings
        )
        for run in scape.runs
    ]


# ---- choosing ----------------------------------------------------------------------------------


def choose(
    listener: HostListener, commands: Heardscape, others: Heardscape, limit: float, how: str
) -> DetectorSettings:
    """The settings of most recall of those with at most `limit` false accepts an hour, over both
    kinds of scenes; of equals the one of fewest false accepts. Raises DataError where there are
    none."""
    words = listener.facts.words
    refractory = round(REFRACTORY_SECONDS / (listener.run_hops * HOP_SECONDS))
    best: tuple[float, float, DetectorSettings] | None = None
    for smoothing in SMOOTHINGS:
        for threshold in THRESHOLDS:
            settings = DetectorSettings(smoothing, refractory, threshold, how)
            ours = count(commands.scenes, heard_with(listener, commands, settings), words)
            if best is not None and ours.recall < best[0]:
                break  # a higher threshold hears less
            theirs = count(others.scenes, heard_with(listener, others, settings), words)
            hours = ours.hours + theirs.hours
            rate = (ours.false_accepts + theirs.false_accepts) / hours
            if rate <= limit and (best is None or (ours.recall, -rate) > (best[0], -best[1])):
                best = ours.recall, rate, settings
    if best is None:
        raise DataError(
            f"no threshold keeps to {limit:g} false accepts an hour on the validation clips; "
            "allow more with --false-accepts, or train longer"
        )
    return best[2]


# ---- the board ---------------------------------------------------------------------------------


def on_board(
    model: Path, settings: DetectorSettings, scene: Scene, minutes: float, on: str
) -> dict[str, Any]:
    """The first minutes of a scene on an emulated board and on the host: equal, and at what cost."""
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
