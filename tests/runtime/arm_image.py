"""Images of checks for an emulated Cortex-M4, which see whether registers are kept.

Sections lie where they are least welcome: behind a halfword, where they do not ask for more.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from kernel_loader import RUNTIME
from test_operators_on_arm import ARM, LINKER, START

ASSEMBLY = ("tn_tile_1", "tn_tile_2", "tn_tile_taps", "tn_pointwise_tile")
ASSEMBLY += ("tn_unrolled_strip_tile", "tn_unrolled_pointwise_tile")
ASSEMBLY += ("tn_row_sums_add", "tn_strip_tile", "tn_strip_single", "tn_strip_fill")
ASSEMBLY += ("tn_depthwise_conv_2d_fours", "tn_dense_bytes", "tn_dense_pairs")
ODD = "".join(f". = ALIGN(4) + 2; *(.text.{f}*) " for f in ASSEMBLY)
FLAGS = ["-ffunction-sections", "-fdata-sections", "-fno-ipa-icf", "-Wl,--gc-sections"]

# call: a function and what its first four arguments are. 1 when r4 to r11 or sp come back changed.
GUARD = """
#include <stdint.h>
int guarded(const uintptr_t *call);
__attribute__((naked)) int guarded(const uintptr_t *call __attribute__((unused))) {
    __asm__("push {r4-r11, lr}\\n sub sp, #4\\n"
            "ldr r12, [r0]\\n ldr r1, [r0, #8]\\n ldr r2, [r0, #12]\\n ldr r3, [r0, #16]\\n"
            "ldr r0, [r0, #4]\\n mov r4, sp\\n" SENTINELS "blx r12\\n"
            "mov r0, #1\\n mov r12, sp\\n cmp r12, r4\\n bne 1f\\n" COMPARISONS "mov r0, #0\\n"
            "1: add sp, #4\\n pop {r4-r11, pc}");
}
"""
GUARD = GUARD.replace(
    "SENTINELS", " ".join(f'"mov r{r}, #0x{r:02x}{r:02x}{r:02x}{r:02x}\\n"' for r in range(5, 12))
).replace(
    "COMPARISONS",
    " ".join(f'"cmp r{r}, #0x{r:02x}{r:02x}{r:02x}{r:02x}\\n bne 1f\\n"' for r in range(5, 12)),
)


def run_image(folder: Path, sources: Mapping[str, str], flags: list[str], checks: list[str]) -> int:
    """The exit status of an image: 16 * number of the check that fails + what it returned, or 0."""
    script, image = folder / "image.ld", folder / "image.elf"
    script.write_text(LINKER.replace("*(.text*)", ODD + "*(.text*)"))
    start = START.replace("CHECKS", "\n".join(f"int check_{c}(void);" for c in checks)).replace(
        "RUN",
        "\n".join(
            f"{{ int r = check_{c}(); if (r) stop(16 * {i} + r); }}"
            for i, c in enumerate(checks, 1)
        ),
    )
    paths = []
    for name, text in {"start": start, "guard": GUARD, **sources}.items():
        (folder / f"{name}.c").write_text(text)
        paths.append(str(folder / f"{name}.c"))
    command = [*ARM, *flags, *FLAGS, f"-I{RUNTIME}", "-nostartfiles", "-T", str(script), *paths]
    subprocess.run([*command, "-lc", "-lgcc", "-o", str(image)], check=True)
    return _status(image)


def run_objects(folder: Path, sources: Mapping[str, tuple[str, list[str]]], level: str) -> int:
    """The exit status of an image of C sources, each compiled with flags of its own."""
    objects = []
    for name, (text, flags) in sources.items():
        (folder / f"{name}.c").write_text(text)
        objects.append(str(folder / f"{name}.o"))
        command = [*ARM, level, *flags, f"-I{RUNTIME}", "-c", str(folder / f"{name}.c")]
        subprocess.run([*command, "-o", objects[-1]], check=True)
    script, image = folder / "image.ld", folder / "image.elf"
    script.write_text(LINKER)
    link = [*ARM, "-nostartfiles", "-T", str(script), *objects, "-lc", "-lgcc", "-o", str(image)]
    subprocess.run(link, check=True)
    return _status(image)


def _status(image: Path) -> int:
    run = ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-semihosting", "-kernel"]
    return subprocess.run([*run, str(image)], timeout=120, stdin=subprocess.DEVNULL).returncode
