"""main.c: the lock with a camera of its own, commands on the console; and images for the boards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from lock_standin import frame, standin_lock

from thumbnet.apps.camera.frames import CAMERAS
from thumbnet.apps.face_unlock import unlock
from thumbnet.apps.face_unlock.unlock import Lock, firmware, stored_bytes
from thumbnet.codegen.errors import BudgetError, DataError, ToolError
from thumbnet.codegen.image import read_elf
from thumbnet.codegen.targets import board
from thumbnet.tools.emulator import find_qemu, started_with_uart

CAMERA = Path(__file__).resolve().parent / "camera_of_files.c"


@contextmanager
def switched_on(
    lock: Lock, folder: Path, frames: Sequence[int], work_dir: Path
) -> Iterator[Callable[[str], list[str]]]:
    """The firmware in QEMU before these frames; gives what asks it: a line in, lines back."""
    on = board("mps2-an386")
    folder.mkdir(exist_ok=True)
    (folder / "frames.bin").write_bytes(b"".join(frame(lock, n).tobytes() for n in frames))
    image = firmware(lock, on, CAMERA, work_dir)
    with (folder / "flash").open("ab") as flash:
        flash.truncate(16 << 20)
    command = (
        find_qemu(), "-M", f"{on.machine},memory-backend=flash", "-display", "none", "-monitor",
        "none", "-nic", "none", "-semihosting-config", "enable=on,target=native", "-object",
        "memory-backend-file,id=flash,size=16M,mem-path=flash,share=on", "-kernel",
        str(image.elf),
    )  # fmt: skip
    with started_with_uart(command, folder) as uart:

        def lines(count: int) -> list[str]:
            said, end = b"", time.monotonic() + 60
            while said.count(b"\n") < count and time.monotonic() < end:
                said += uart.read(0.2)
            return said.decode().splitlines()

        def ask(line: str, count: int = 1) -> list[str]:
            for character in f"{line}\n".encode():
                uart.write(bytes([character]))
            return lines(count)

        assert lines(1) == ["lock: ready"]
        yield ask


@pytest.mark.usefixtures("qemu")
def test_the_console(tmp_path: Path, work_dir: Path) -> None:
    lock = standin_lock(tmp_path)
    with switched_on(lock, tmp_path / "board", [0, 0, 0, 0, 5], work_dir) as ask:
        assert ask("attempt") == ["lock: no such user"]
        assert ask("enrol 2 ada") == ["lock: done"]
        assert ask("list", 2) == ["lock: 2 ada", "lock: done"]
        assert ask("attempt", 2) == ["bolt", "lock: opened for 2 ada, score 1.000"]
        assert ask("attempt")[0].startswith("lock: refused, score ")
        assert ask("attempt") == ["lock: the camera gives no frame"]
        assert ask("open sesame") == ask("enrol x") == ask("delete 99") == ["lock: not understood"]
    with switched_on(lock, tmp_path / "board", [5] * 5, work_dir) as ask:
        assert ask("list", 2) == ["lock: 2 ada", "lock: done"]
        assert all(ask("attempt")[0].startswith("lock: refused") for _ in range(3))
        assert ask("attempt") == ["lock: waits for 30 s"]
        assert ask("delete 2") == ["lock: done"]
        assert ask("list") == ["lock: done"]
        assert ask("delete 2") == ["lock: no such user"]


@pytest.mark.usefixtures("arm")
@pytest.mark.parametrize("name", ["nrf52840dk", "nucleo-h743zi"])
@pytest.mark.parametrize("camera", [None, CAMERA])
def test_images_for_boards(tmp_path: Path, work_dir: Path, name: str, camera: Path | None) -> None:
    lock = standin_lock(tmp_path, CAMERAS["qvga-rgb565"])
    if camera is not None:  # these boards have no files
        camera = tmp_path / "camera.c"
        source = (
            CAMERA.read_text()
            .replace("tn_port_open(", "opened(")
            .replace(
                "tn_port_read(file, row, sizeof row)", "(uint32_t)opened((const char *)row, file)"
            )
        )
        hook = "int32_t opened(const char *name, int writing);\n"
        given = "int32_t opened(const char *name, int writing) { return name[0] + writing; }\n"
        camera.write_text(source.replace("static uint8_t row", f"{hook}static uint8_t row") + given)
    on = board(name)
    image = firmware(lock, on, camera, work_dir)
    assert stored_bytes(image) == {"nrf52840dk": 16_384, "nucleo-h743zi": 262_144}[name]
    assert image.sram < 16_384
    symbols = read_elf(image.elf).functions
    assert {"tn_flash_program", "tn_flash_erase"} <= symbols.keys()


@pytest.mark.usefixtures("arm")
def test_what_does_not_fit(tmp_path: Path, work_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = standin_lock(tmp_path)
    with pytest.raises(DataError, match=r"cannot read .*absent\.c"):
        firmware(lock, board("nrf52840dk"), tmp_path / "absent.c", work_dir)
    with pytest.raises(ToolError, match="no flash to keep data in"):
        firmware(lock, board("nucleo-f446re"), None, work_dir)
    monkeypatch.setattr(unlock, "stored_bytes", lambda _: 1 << 20)
    with pytest.raises(BudgetError, match="for templates do not fit"):
        firmware(lock, board("nrf52840dk"), None, work_dir)
