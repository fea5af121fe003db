"""Settings of the detector: from posteriors to words that were heard (the C is `detector.h`)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from thumbnet.codegen.errors import DataError, ModelFormatError
from thumbnet.codegen.files import replacing

FILE_NAME = "detector.json"
MOST_SMOOTHING = 25  # TN_DETECTOR_RUNS


@dataclass(frozen=True)
class DetectorSettings:
    """A word is heard when the mean of its last `smoothing` posteriors reaches `threshold`; then
    none is heard for `refractory` runs of the network. `chosen` says how that was found."""

    smoothing: int = 12
    refractory: int = 25
    threshold: float = 0.6
    chosen: str = "not: usual ones"

    def __post_init__(self) -> None:
        if not (
            1 <= self.smoothing <= MOST_SMOOTHING
            and 0 <= self.refractory <= 10000
            and 0 < self.threshold <= 1
        ):
            raise DataError(
                f"detector: smoothing is 1 to {MOST_SMOOTHING}, refractory 0 to 10000, threshold "
                f"above 0 and at most 1; not {self.smoothing}, {self.refractory}, {self.threshold}"
            )

    @property
    def least_sum(self) -> int:
        """The threshold of the sum of posteriors, in 256ths."""
        return math.ceil(self.threshold * 256 * self.smoothing)


def read_settings(folder: Path) -> DetectorSettings:
    """Of the network in `folder`; usual ones where it has none. Raises ModelFormatError."""
    path = folder / FILE_NAME
    try:
        entry: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return DetectorSettings(
            int(entry["smoothing"]),
            int(entry["refractory"]),
            float(entry["threshold"]),
            str(entry["chosen"]),
        )
    except FileNotFoundError:
        return DetectorSettings()
    except (OSError, ValueError, KeyError, TypeError, DataError) as error:
        raise ModelFormatError(
            f"{path}: cannot read the detector's settings: {error!r}; "
            "write it with: python -m thumbnet.apps.kws evaluate-stream --choose"
        ) from error


def write_settings(folder: Path, settings: DetectorSettings) -> None:
    text = json.dumps(asdict(settings), indent=2) + "\n"
    with replacing(folder / FILE_NAME) as partial:
        partial.write_text(text, encoding="utf-8")


def settings_text(settings: DetectorSettings) -> str:
    """The settings as firmware tells them of itself."""
    return f"{settings.smoothing}/{settings.refractory}/{settings.least_sum}"


def settings_header(words: Sequence[str], settings: DetectorSettings) -> str:
    """The text of `listener_settings.h`."""
    names = ", ".join(json.dumps(word) for word in words)
    return f"""/* listener_settings.h: written by thumbnet.apps.kws.detector */
#ifndef LISTENER_SETTINGS_H
#define LISTENER_SETTINGS_H

#define TN_DETECTOR_WORDS {len(words)}
static const char *const tn_listener_words[TN_DETECTOR_WORDS] __attribute__((unused)) = {{
    {names}}};

/* smoothing and refractory, in runs of the network; threshold of the sum, in 256ths */
#define TN_LISTENER_SETTINGS {{{settings.smoothing}, {settings.refractory}, {settings.least_sum}}}
#define TN_LISTENER_SETTINGS_TEXT "{settings_text(settings)}"

#endif
"""
