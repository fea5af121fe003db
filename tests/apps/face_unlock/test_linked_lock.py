"""The firmware on an emulated board, driven over the link: embeddings, users, attempts, resets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lock_standin import SMALL, frame, standin_lock

from thumbnet.apps.camera.frames import CAMERAS
from thumbnet.apps.face_unlock import match
from thumbnet.apps.face_unlock.linked import LinkedLock, Status, User, linked
from thumbnet.apps.face_unlock.unlock import HostLock
from thumbnet.codegen.errors import DataError, ToolError

pytestmark = pytest.mark.usefixtures("qemu")
BOARD = "mps2-an386"


class Clock:
    """Milliseconds, that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@pytest.mark.parametrize(
    ("camera", "count"), [("qqvga-rgb565", 2), ("qqvga", 2), ("qvga", 1), (None, 5)]
)
def test_the_boards_embeddings_are_the_hosts(
    tmp_path: Path, work_dir: Path, camera: str | None, count: int
) -> None:
    lock = standin_lock(tmp_path, CAMERAS[camera] if camera else SMALL)
    frames = np.stack([frame(lock, number) for number in range(count)])
    expected, _ = HostLock(lock, work_dir).embed(frames)
    assert len(np.unique(expected, axis=0)) == count
    with linked(BOARD, lock, work_dir=work_dir) as board:
        said = board.enrol("ada", frames)
    assert [s.status for s in said] == [*[Status.FRAME] * (count - 1), Status.DONE]
    np.testing.assert_array_equal([s.embedding for s in said], expected)


def test_three_channels_get_the_same_grey(tmp_path: Path, work_dir: Path) -> None:
    lock = standin_lock(tmp_path, channels=3)
    frames = frame(lock, 0)[None]
    expected, seen = HostLock(lock, work_dir).embed(frames)
    assert (seen == seen[..., :1]).all()
    with linked(BOARD, lock, work_dir=work_dir) as board:
        np.testing.assert_array_equal(board.enrol("ada", frames)[0].embedding, expected[0])


def test_users_and_failures_outlast_the_power(tmp_path: Path, work_dir: Path) -> None:
    lock, flash = standin_lock(tmp_path), tmp_path / "a folder" / "flash"
    frames = np.stack([frame(lock, number) for number in range(6)])
    eye = HostLock(lock, work_dir)
    vectors = eye.vectors(frames)
    templates = {"ada": match.template(vectors[:2]), "bob": match.template(vectors[2:3])}
    with linked(BOARD, lock, flash=flash, work_dir=work_dir) as board:
        assert board.users() == []
        with pytest.raises(ToolError, match="none of this network"):
            board.attempt(frames[0])
        board.enrol("ada", frames[:2])
        board.enrol("bob", frames[2:3])
        said = board.attempt(frames[2])
        assert (said.status, said.user, said.failures) == (Status.OPENED, 1, 0)
        assert said.score == match.cosine(match.unit(vectors[2]), templates["bob"]) >= 32766
        said = board.attempt(frames[5])
        scores = [match.cosine(match.unit(vectors[5]), each) for each in templates.values()]
        assert (said.status, said.user, said.score) == (Status.REFUSED, -1, max(scores))
        assert said.failures == 1
    with linked(BOARD, lock, flash=flash, work_dir=work_dir) as board:
        assert board.users() == [User(0, "ada", True), User(1, "bob", True)]
        assert board.attempt(frames[4]).failures == 2
        board.remove(0)
        with pytest.raises(ToolError, match="no such user"):
            board.remove(0)
        board.enrol("bob", frames[3:4])
        assert board.attempt(frames[2]).status == Status.REFUSED
        assert board.attempt(frames[3]).status == Status.OPENED
    other = standin_lock(tmp_path, seed=8)
    with linked(BOARD, other, flash=flash, work_dir=work_dir) as board:
        assert board.users() == [User(1, "bob", False)]
        with pytest.raises(ToolError, match="no such user"):
            board.attempt(frames[3])


def test_lock_out_goes_on_after_a_reset(tmp_path: Path, work_dir: Path) -> None:
    lock, flash, clock = standin_lock(tmp_path), tmp_path / "flash", Clock()

    def fail(board: LinkedLock) -> tuple[Status, int]:
        said = board.attempt(frame(lock, 9))
        return said.status, said.wait

    with linked(BOARD, lock, flash=flash, clock=clock, work_dir=work_dir) as board:
        board.enrol("ada", frame(lock, 0)[None])
        for _ in range(5):
            assert fail(board) == (Status.REFUSED, 0)
        assert fail(board) == (Status.WAIT, 30_000)
        clock.now += 29_999
        assert fail(board) == (Status.WAIT, 1)
        clock.now += 1
        assert fail(board) == (Status.REFUSED, 0)
        assert fail(board) == (Status.WAIT, 60_000)
    clock.now = 0
    with linked(BOARD, lock, flash=flash, clock=clock, work_dir=work_dir) as board:
        assert fail(board) == (Status.WAIT, 60_000)
        clock.now += 60_000
        assert board.attempt(frame(lock, 0)).status == Status.OPENED
        for _ in range(5):
            assert fail(board) == (Status.REFUSED, 0)


def test_what_cannot_be_asked(tmp_path: Path, work_dir: Path) -> None:
    lock = standin_lock(tmp_path)
    one = frame(lock, 0)[None]
    with linked(BOARD, lock, work_dir=work_dir) as board:
        for name, frames, reason in (
            ("", one, "a name has 1 to 15 bytes"),
            ("x" * 16, one, "a name has 1 to 15 bytes"),
            ("ada", one[:0], "from 1 to 16"),
            ("ada", np.repeat(one, 17, 0), "from 1 to 16"),
        ):
            with pytest.raises(DataError, match=reason):
                board.enrol(name, frames)
        for number in range(8):
            board.enrol(f"user {number}", one)
        with pytest.raises(DataError, match="all 8 users are taken"):
            board.enrol("ninth", one)
        board.enrol("user 3", one)
        assert [user.name for user in board.users()] == [f"user {n}" for n in range(8)]
    with pytest.raises(ToolError, match="has no flash to keep data in"):
        next(iter(linked("microbit", lock, work_dir=work_dir).gen))
    with pytest.raises(ToolError, match="is not emulated"):
        next(iter(linked("nrf52840dk", lock, work_dir=work_dir).gen))
