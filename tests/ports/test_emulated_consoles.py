"""The consoles of the boards in QEMU, in both directions: what is typed comes back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from thumbnet.codegen.firmware import build_firmware
from thumbnet.codegen.targets import board
from thumbnet.tools.emulator import find_qemu

pytestmark = pytest.mark.usefixtures("qemu")

HZ = {
    "mps2-an385": 25_000_000, "mps2-an386": 25_000_000, "mps2-an500": 25_000_000,
    "mps2-an505": 20_000_000, "microbit": 16_000_000,
}  # fmt: skip
ECHO = """
#include "port.h"

int tn_main(void) {
    tn_print_decimal(tn_port_hz());
    for (;;) {
        const int c = tn_port_getc();
        if (c == '.') {
            return 9;
        }
        if (c >= 0) {
            tn_port_putc((char)(c ^ 0x80));
        }
    }
}
"""


@pytest.mark.parametrize("name", HZ)
def test_what_is_typed_comes_back(name: str, work_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "main.c").write_text(ECHO)
    machine = board(name).machine
    assert machine is not None
    firmware = build_firmware(tmp_path, ["main.c"], board(name), "size", work_dir)
    typed = bytes(c for c in range(256) if c != ord("."))
    done = subprocess.run(
        [
            find_qemu(), "-machine", machine, "-nographic", "-monitor", "none",
            "-serial", "stdio", "-semihosting", "-kernel", str(firmware.elf),
        ],
        input=typed + b".", capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout == str(HZ[name]).encode() + bytes(c ^ 0x80 for c in typed)
    assert done.returncode == 9
