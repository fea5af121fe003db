"""The keyword firmware on a board at the end of a serial link: sound goes there, words come back.

It stands at the edge as `emulated.py` does: it looks into `tools` for the link.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.audio.host import checked_pcm
from thumbnet.apps.board import check_firmware, linked_board
from thumbnet.apps.kws.detector import DetectorSettings, settings_text
from thumbnet.apps.kws.features import PARAMETERS
from thumbnet.apps.kws.listener import HOP_SECONDS, Heard, application_folder, firmware
from thumbnet.apps.kws.model_files import read_facts
from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.manifest import read_manifest
from thumbnet.codegen.targets import board
from thumbnet.tools.link import Link

HEARD = struct.Struct("<iii")  # of a hop: whether the network ran, the word or -1, its score


@dataclass(frozen=True, eq=False)
class LinkedRun:
    """What a board said of a recording. `posteriors` [runs, classes]."""

    board: str
    heard: list[Heard]
    posteriors: NDArray[np.int8]
    cycles: int  # of the core's own counter, all hops together
    hops: int
    hz: int


def listen_over_link(
    link: Link,
    model: Path,
    settings: DetectorSettings,
    samples: NDArray[np.int16],
    *,
    tell: Callable[[Heard], None] | None = None,
) -> LinkedRun:
    """Plays int16 samples [n] at 16 kHz to a board; `tell` is given each word at once.

    Raises ToolError where the board holds other firmware or falls silent.
    """
    facts = read_facts(model)
    _check_firmware(link, model, settings)
    sound = checked_pcm(samples)
    hops = sound.size // PARAMETERS.hop
    whole = 256 * settings.smoothing
    heard, posteriors, cycles = [], [], 0
    link.start()
    for hop, pcm in enumerate(sound[: hops * PARAMETERS.hop].reshape(hops, -1).astype("<i2"), 1):
        called = link.call([pcm.tobytes()])
        if not called.intact:
            raise ToolError(f"{link.name}: the firmware wrote outside of its memory")
        cycles += called.cycles or 0
        ran, word, score = HEARD.unpack(called.outputs[0])
        if ran:
            posteriors.append(np.frombuffer(called.outputs[1], np.int8))
        if word >= 0:
            hundredths = (score * 100 + whole // 2) // whole
            at = Heard(round(hop * HOP_SECONDS, 6), facts.words[word], hundredths / 100)
            heard.append(at)
            if tell is not None:
                tell(at)
    found = np.array(posteriors, np.int8).reshape(-1, len(facts.classes))
    there = link.firmware
    return LinkedRun(there.board, heard, found, cycles, hops, there.hz)


def linked(
    on: str, model: Path, settings: DetectorSettings, work_dir: Path | None = None
) -> AbstractContextManager[Link]:
    """The link to a board: at a serial port or URL, or emulated with its UART at the other end.
    Raises ThumbnetError."""
    return linked_board(on, lambda there: firmware(model, settings, there, work_dir), "kws")


def _check_firmware(link: Link, model: Path, settings: DetectorSettings) -> None:
    target = board(link.firmware.board).target.name
    crc = read_manifest(application_folder(model, settings, target)).weights_crc
    name = f"kws listener {settings_text(settings)}"  # as firmware/linked.c says
    sizes = (2 * PARAMETERS.hop,), (HEARD.size, len(read_facts(model).classes))
    check_firmware(link, name, crc, "kws", sizes)
