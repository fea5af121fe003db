"""The lock's firmware on the cores of its two boards, with flash after the manuals' rules
(tests/ports/flash_boards.py): users, attempts, resets, and a flash word that is damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from lock_standin import frame, standin_lock

from tests.ports.flash_boards import NordicFlashBoard, Stm32FlashBoard
from tests.ports.nordic_chips import nrf52840
from tests.ports.stm32_chips import chip
from tests.ports.stm32_clocks import H7
from thumbnet.apps.face_unlock.linked import LinkedLock, Status, User
from thumbnet.apps.face_unlock.unlock import HostLock, Lock, firmware
from thumbnet.codegen.targets import board
from thumbnet.tools.link import Link

pytest.importorskip("unicorn", reason="unicorn runs the boards' core")
pytestmark = pytest.mark.usefixtures("arm")

Started = NordicFlashBoard | Stm32FlashBoard
NORDIC = ("CLOCK", "NVMC", "APPROTECT", "UICR", "FICR", "P0", "P1", "UART0")


def nordic(elf: Path) -> NordicFlashBoard:
    described = nrf52840()
    return NordicFlashBoard(elf, "CORTEX_M4", {name: described[name] for name in NORDIC})


def stm32(elf: Path) -> Stm32FlashBoard:
    pins = [("D", 8, 7), ("D", 9, 7)]
    memories = (0x20000000, 0x20000), (0x24000000, 0x80000)
    described = dict(chip("stm32h743"))
    return Stm32FlashBoard(
        elf, "CORTEX_M7", described, H7(0x2003), "USART3", 1, pins, memories, late=10
    )


STARTS: dict[str, Callable[[Path], Started]] = {"nrf52840dk": nordic, "nucleo-h743zi": stm32}


def connect(running: Started, name: str, lock: Lock, work_dir: Path) -> LinkedLock:
    link = Link(running, name, clock=running.clock)
    return LinkedLock(link, lock, lambda: 0, work_dir)


@pytest.mark.parametrize("name", STARTS)
def test_users_outlast_the_power(name: str, tmp_path: Path, work_dir: Path) -> None:
    lock = standin_lock(tmp_path)
    running = STARTS[name](firmware(lock, board(name), work_dir=work_dir).elf)
    there = connect(running, name, lock, work_dir)
    frames = np.stack([frame(lock, number) for number in range(3)])
    expected, _ = HostLock(lock, work_dir).embed(frames)
    assert there.users() == []
    said = there.enrol("ada", frames[:2]) + there.enrol("bob", frames[2:])
    np.testing.assert_array_equal([each.embedding for each in said], expected)
    assert there.attempt(frames[2]).status == Status.OPENED
    assert there.attempt(frame(lock, 9)).status == Status.REFUSED
    running.restart()
    there = connect(running, name, lock, work_dir)
    assert there.users() == [User(0, "ada", True), User(1, "bob", True)]
    there.remove(0)
    assert there.users() == [User(1, "bob", True)]
    assert there.attempt(frame(lock, 9)).failures == 2
    assert b"bob" in running.stored and b"ada" not in running.stored
    assert running.problems == [] and running.operations >= 20


def test_a_damaged_word_ends_the_log(tmp_path: Path, work_dir: Path) -> None:
    """As where the power went while the STM32 programmed it: reading it would be a bus fault."""
    lock = standin_lock(tmp_path)
    running = stm32(firmware(lock, board("nucleo-h743zi"), work_dir=work_dir).elf)
    there = connect(running, "nucleo-h743zi", lock, work_dir)
    there.enrol("ada", frame(lock, 0)[None])
    there.enrol("bob", frame(lock, 1)[None])
    running.damaged.add(max(running.programmed))
    running.restart()
    there = connect(running, "nucleo-h743zi", lock, work_dir)
    assert there.users() == [User(0, "ada", True)]
    there.enrol("bob", frame(lock, 1)[None])
    running.restart()
    there = connect(running, "nucleo-h743zi", lock, work_dir)
    assert [user.name for user in there.users()] == ["ada", "bob"]
    assert running.problems == []
