"""`python -m thumbnet.apps.face_unlock picture -o F.png`: frames, crops, scores and decisions.

The faces are two of scikit-image's: the astronaut Eileen Collins (NASA, public domain), who is
enrolled from three poses of that photograph and comes back in a fourth, and Chelsea the cat (CC0,
Stéfan van der Walt), whom nobody has enrolled. All is done by the firmware's C on this machine.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.camera.crop import Window
from thumbnet.apps.camera.frames import CAMERAS, Pose, camera_frame
from thumbnet.apps.command import ended
from thumbnet.apps.face_unlock import match
from thumbnet.apps.face_unlock.lock_commands import lock_of, lock_parser
from thumbnet.apps.face_unlock.match import ONE
from thumbnet.apps.face_unlock.unlock import HostLock
from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.files import replacing

_ASTRONAUT, _CAT = Window(63, 170, 106), Window(15, 100, 250)  # the faces in the photographs
_ENROLLED = (Pose(), Pose(2, -2, 0.97, 0.85, 2), Pose(-2, 2, 1.03, 1.1, 2))
_SHOWN = Pose(1.5, 2.5, 0.96, 0.7, 4)


@dataclass(frozen=True, eq=False)
class Looked:
    """A frame as the camera gave it, RGB [h, w, 3], what the network saw, and the score in Q15."""

    frame: NDArray[np.uint8]
    seen: NDArray[np.int8]
    score: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 refused with a reason, 2 wrong usage."""
    parser = lock_parser("picture", "a frame, the crop, the score and the decision, as a picture")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="F.png")
    parser.set_defaults(camera="qqvga-rgb565")
    parsed = parser.parse_args(arguments)
    return ended("face_unlock", lambda: _run(parsed))


def _run(parsed: argparse.Namespace) -> int:
    try:
        from skimage import data
    except ImportError as error:
        raise ToolError("the picture needs scikit-image: pip install scikit-image") from error
    lock = replace(lock_of(parsed), camera=CAMERAS["qqvga-rgb565"])
    host = HostLock(lock)
    window, camera = host.eye.window, lock.camera
    random = np.random.default_rng(0)
    astronaut, cat = data.astronaut(), data.chelsea()
    poses = [camera_frame(astronaut, _ASTRONAUT, camera, window, p, random) for p in _ENROLLED]
    template = match.template(list(host.vectors(np.stack(poses))))
    shown = [
        camera_frame(picture, face, camera, window, _SHOWN, random)
        for picture, face in ((astronaut, _ASTRONAUT), (cat, _CAT))
    ]
    looked = []
    for frame, vector, seen in zip(
        shown, host.vectors(np.stack(shown)), host.embed(np.stack(shown))[1], strict=True
    ):
        score = match.cosine(match.unit(vector), template)
        looked.append(Looked(_colours(frame), seen[..., 0], score))
    _draw(looked, window, lock.threshold, parsed.out)
    print(f"wrote {parsed.out}: scores {', '.join(f'{x.score / ONE:.3f}' for x in looked)}")
    return 0


def _colours(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB [h, w, 3] of an RGB565 frame."""
    pixels = frame.view(">u2").astype(np.uint16)
    channels = pixels >> 11 << 3, (pixels >> 5 & 0x3F) << 2, (pixels & 0x1F) << 3
    return np.stack(channels, axis=-1).astype(np.uint8)


def _draw(looked: Sequence[Looked], window: Window, threshold: int, out: Path) -> None:
    if out.suffix != ".png":
        raise ToolError(f"'{out}' does not end in .png")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.patches import Rectangle

    figure, rows = pyplot.subplots(
        len(looked), 3, figsize=(8, 4.4), width_ratios=(4, 3, 4), layout="constrained"
    )
    height, width = looked[0].frame.shape[:2]
    side = len(looked[0].seen)
    rows[0, 0].set_title(f"the camera's frame, {width}x{height}, row by row", fontsize=9)
    rows[0, 1].set_title(f"what the network sees, {side}x{side}", fontsize=9)
    rows[0, 2].set_title("cosine with the template, and the decision", fontsize=9)
    for (frame, seen, scores), each in zip(rows, looked, strict=True):
        frame.imshow(each.frame)
        corner = (window.left - 0.5, window.top - 0.5)
        frame.add_patch(
            Rectangle(corner, window.size, window.size, fill=False, edgecolor="white", linewidth=2)
        )
        seen.imshow(each.seen, cmap="gray", vmin=-128, vmax=127)
        opened = each.score >= threshold
        colour = "tab:green" if opened else "tab:red"
        scores.barh([0], [each.score / ONE], height=0.4, color=colour)
        scores.axvline(threshold / ONE, color="black", linewidth=1.5)
        scores.text(threshold / ONE, -0.42, f" opens from {threshold / ONE:.3f}", fontsize=8)
        decision = "opened" if opened else "refused"
        scores.text(0, 0.42, f"{each.score / ONE:.3f}: {decision}", color=colour, fontsize=13)
        scores.set(xlim=(min(0.0, each.score / ONE), 1), ylim=(-0.6, 0.8), yticks=[])
        scores.spines[["top", "left", "right"]].set_visible(False)
        for axes in (frame, seen):
            axes.axis("off")
    with replacing(out) as partial:
        figure.savefig(partial, dpi=100)
    pyplot.close(figure)
