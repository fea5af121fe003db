"""`python -m thumbnet.apps.face_unlock scenario --data DIR`: the lock among people, at work.

Three people are enrolled from three pictures each; then they and others come to the door. Few sets
of pictures have enough of three people, so this is done with several groups of three, one after the
other on the same board, until as many attempts are made as wanted. Nobody is in two groups. Where
the pictures of all groups are used up, they are shown again in another pose: moved, nearer or
farther, in other light; the result says how many of the attempts these are.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from thumbnet.apps.camera.frames import Pose, camera_frame
from thumbnet.apps.command import ended, natural, positive
from thumbnet.apps.face_unlock import match
from thumbnet.apps.face_unlock.dataset import (
    Identity,
    face_window,
    read_face,
    read_identities,
    read_names,
)
from thumbnet.apps.face_unlock.lock_commands import lock_of, lock_parser
from thumbnet.apps.face_unlock.match import ONE
from thumbnet.apps.face_unlock.unlock import HostLock, Lock
from thumbnet.codegen.errors import DataError
from thumbnet.codegen.files import write_json

GROUP, FRAMES = 3, 3  # people enrolled at a time, and pictures of each
HOUR = 3_600_000  # ms between two attempts: longer than any wait of the lock


@dataclass(frozen=True)
class Showing:
    """A picture that is shown to the lock, and of whom it is: a place in its group, or None of
    someone else. `pose` None: as it is."""

    path: Path
    user: int | None
    pose: Pose | None


@dataclass(frozen=True)
class Group:
    """Who is enrolled together, from which pictures, and who comes to the door."""

    names: tuple[str, ...]
    enrolled: tuple[tuple[Path, ...], ...]
    shown: tuple[Showing, ...]


@dataclass(frozen=True)
class Attempted:
    """What the lock did. `score` in Q15; `opened_for` a place in the group or None."""

    showing: Showing
    opened_for: int | None
    score: int


def groups_of(
    identities: Sequence[Identity], own: int, others: int, seed: int = 0
) -> tuple[Group, ...]:
    """Groups for `own` attempts of users and `others` of others in all. Raises DataError where
    there are too few people or pictures."""
    random = np.random.default_rng(seed)
    order = [identities[i] for i in random.permutation(len(identities))]
    fit = [person for person in order if len(person.paths) > FRAMES]
    count = len(fit) // GROUP
    if count == 0 or len(order) == GROUP:
        raise DataError(
            f"{len(fit)} of {len(order)} people have more than {FRAMES} pictures: the scenario "
            f"needs {GROUP} who have, and others"
        )
    people = [fit[GROUP * i : GROUP * (i + 1)] for i in range(count)]
    pictures = [[list(random.permutation(len(p.paths))) for p in group] for group in people]
    left = [
        Showing(person.paths[number], place, None)
        for group, chosen in zip(people, pictures, strict=True)
        for place, (person, numbers) in enumerate(zip(group, chosen, strict=True))
        for number in numbers[FRAMES:]
    ]
    per_group = [sum(len(p.paths) - FRAMES for p in group) for group in people]
    mine: list[list[Showing]] = [[] for _ in people]
    ends = np.cumsum(per_group)
    for i in range(own):
        at = i % len(left)
        pose = None if i < len(left) else _pose(random)
        mine[int(np.searchsorted(ends, at, side="right"))].append(
            Showing(left[at].path, left[at].user, pose)
        )
    used = [i for i, showings in enumerate(mine) if showings]
    made = []
    for turn, i in enumerate(used):
        strangers = [p for person in order if person not in people[i] for p in person.paths]
        wanted = others // len(used) + (turn < others % len(used))
        if wanted > len(strangers):
            raise DataError(
                f"{len(strangers)} pictures of others are too few for {wanted} attempts"
            )
        drawn = random.permutation(len(strangers))[:wanted]
        shown = [*mine[i], *(Showing(strangers[k], None, None) for k in drawn)]
        made.append(
            Group(
                tuple(person.name for person in people[i]),
                tuple(
                    tuple(person.paths[n] for n in numbers[:FRAMES])
                    for person, numbers in zip(people[i], pictures[i], strict=True)
                ),
                tuple(shown[k] for k in random.permutation(len(shown))),
            )
        )
    return tuple(made)


def _pose(random: np.random.Generator) -> Pose:
    down, right = random.uniform(-4, 4, 2)
    size, light = random.uniform(0.94, 1.06), random.uniform(0.75, 1.2)
    return Pose(float(down), float(right), float(size), float(light), 2.0)


# --- the lock, on this machine and on a board -----------------------------------------------------


class Frames:
    """Pictures before the camera, and what the lock's C makes of them on this machine."""

    def __init__(self, lock: Lock, work_dir: Path | None = None) -> None:
        self.host = HostLock(lock, work_dir)
        self._random = np.random.default_rng(0)

    def of(self, path: Path, pose: Pose | None = None) -> NDArray[np.uint8]:
        picture = read_face(path)
        face = face_window(*picture.shape)
        eye = self.host.eye
        return camera_frame(picture, face, eye.camera, eye.window, pose, self._random)

    def vectors(self, frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.int32]:
        return self.host.vectors(np.stack(frames))


def attempts_on_host(lock: Lock, frames: Frames, groups: Sequence[Group]) -> Iterator[Attempted]:
    """What the lock does, told by the twins of its C."""
    for group in groups:
        templates = [
            match.template(list(frames.vectors([frames.of(path) for path in paths])))
            for paths in group.enrolled
        ]
        for showing in group.shown:
            vector = match.unit(frames.vectors([frames.of(showing.path, showing.pose)])[0])
            scores = [match.cosine(vector, each) for each in templates]
            best = int(np.argmax(scores))
            opened = best if scores[best] >= lock.threshold else None
            yield Attempted(showing, opened, scores[best])


def attempts_on_board(
    lock: Lock, frames: Frames, groups: Sequence[Group], on: str, work_dir: Path | None = None
) -> Iterator[Attempted]:
    """What the firmware does, its clock an hour further at each attempt. Raises ThumbnetError."""
    from thumbnet.apps.face_unlock.linked import Status, linked

    now = 0

    def clock() -> int:
        return now

    with linked(on, lock, clock=clock, work_dir=work_dir) as board:
        for group in groups:
            for user in board.users():
                board.remove(user.slot)
            for place, paths in enumerate(group.enrolled):
                board.enrol(f"user {place}", np.stack([frames.of(path) for path in paths]))
            for showing in group.shown:
                now += HOUR
                said = board.attempt(frames.of(showing.path, showing.pose))
                opened = said.user if said.status == Status.OPENED else None
                yield Attempted(showing, opened, said.score)


# --- the result -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """Counts of attempts; a false accept is a door that opened to someone else, or to a user under
    another user's name."""

    on: str
    groups: int
    users: int
    threshold: float
    own: int
    own_posed: int  # of them, of pictures that were shown before in another pose
    others: int
    false_rejects: int
    mistaken: int  # a user, taken for another
    false_accepts: int  # of others
    equal_to_host: int | None  # attempts whose outcome and score are the host's; None on the host
    own_scores: tuple[float, ...]
    other_scores: tuple[float, ...]

    @property
    def summary(self) -> dict[str, Any]:
        fields = asdict(self)
        return {key: value for key, value in fields.items() if not key.endswith("_scores")}


def result_of(
    lock: Lock, on: str, groups: Sequence[Group], done: Sequence[Attempted], equal: int | None
) -> Result:
    own = [a for a in done if a.showing.user is not None]
    others = [a for a in done if a.showing.user is None]
    return Result(
        on=on,
        groups=len(groups),
        users=sum(len(group.names) for group in groups),
        threshold=round(lock.threshold / ONE, 5),
        own=len(own),
        own_posed=sum(a.showing.pose is not None for a in own),
        others=len(others),
        false_rejects=sum(a.opened_for is None for a in own),
        mistaken=sum(a.opened_for not in (None, a.showing.user) for a in own),
        false_accepts=sum(a.opened_for is not None for a in others),
        equal_to_host=equal,
        own_scores=tuple(round(a.score / ONE, 5) for a in own),
        other_scores=tuple(round(a.score / ONE, 5) for a in others),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 refused with a reason, 2 wrong usage."""
    parser = lock_parser("scenario", "three users and many others before an emulated lock")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="FOLDER/PERSON/*")
    parser.add_argument(
        "--identities",
        type=Path,
        metavar="FILE",
        help="the people to take, none of whom the network was trained on (default: all)",
    )
    parser.add_argument("--on", default="mps2-an386", help="an emulated board, or host")
    parser.add_argument("--own", type=positive, default=200, metavar="N", help="(default 200)")
    parser.add_argument("--others", type=positive, default=400, metavar="N", help="(default 400)")
    parser.add_argument("--seed", type=natural, default=0, metavar="N")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument("--plot", type=Path, metavar="F.svg", help="the scores as a picture")
    parser.add_argument("-o", "--out", type=Path, metavar="F.json", help="keeps the result")
    parsed = parser.parse_args(arguments)
    return ended("face_unlock", lambda: _run(parsed), as_json=parsed.json)


def _run(parsed: argparse.Namespace) -> int:
    from thumbnet.apps.face_unlock.cost import attempt_cycles, costs

    lock = lock_of(parsed)
    names = read_names(parsed.identities) if parsed.identities else None
    groups = groups_of(read_identities(parsed.data, names), parsed.own, parsed.others, parsed.seed)
    expected = list(attempts_on_host(lock, Frames(lock), groups))
    if parsed.on == "host":
        done, equal, cycles = expected, None, None
    else:
        done = []
        for each in attempts_on_board(lock, Frames(lock), groups, parsed.on):
            done.append(each)
            if sys.stderr.isatty():
                print(f"\r{len(done)} of {len(expected)} attempts", end="", file=sys.stderr)
        equal = sum(a == b for a, b in zip(done, expected, strict=True))
        frames = Frames(lock)
        first = groups[0].enrolled[0]
        cycles = attempt_cycles(lock, np.stack([frames.of(path) for path in first[:2]]))
    result = result_of(lock, parsed.on, groups, done, equal)
    chips = None if cycles is None else costs(cycles)
    table = {**result.summary, "cycles": cycles, "chips": chips}
    if parsed.out:
        scores = {"own": result.own_scores, "others": result.other_scores}
        write_json(parsed.out, {**table, "scores": scores})
    if parsed.plot:
        from thumbnet.apps.face_unlock.score_plot import plot_scores

        plot_scores(result, parsed.plot)
    if parsed.json:
        print(json.dumps(table))
    else:
        _show(result, table)
    return 0 if equal in (None, len(expected)) else 1


def _show(result: Result, table: dict[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    shown = Table("", "", title=f"{result.groups} groups of {GROUP} users on {result.on}")
    shown.title_justify, shown.columns[1].justify = "left", "right"
    posed = f", {result.own_posed} in another pose again" if result.own_posed else ""
    shown.add_row("threshold, cosine", f"{result.threshold:.3f}")
    shown.add_row(
        f"users turned away, of {result.own}{posed}",
        f"{result.false_rejects} ({result.false_rejects / result.own:.1%})",
    )
    shown.add_row("users taken for another user", f"{result.mistaken}")
    shown.add_row(
        f"others let in, of {result.others}",
        f"{result.false_accepts} ({result.false_accepts / result.others:.2%})",
    )
    if result.equal_to_host is not None:
        total = result.own + result.others
        shown.add_row("attempts equal to the host's", f"{result.equal_to_host} of {total}")
        shown.add_row("cycles of an attempt (estimate, M4)", f"{table['cycles']['all']:,}")
    for chip in table["chips"] or ():
        shown.add_row(
            f"{chip['name']}, {chip['milliamperes']:g} mA at {chip['volts']:g} V: an attempt",
            f"{chip['milliseconds']:g} ms, {chip['millijoules']:g} mJ",
        )
    console.print(shown)


if __name__ == "__main__":
    sys.exit(main())
