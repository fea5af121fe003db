"""Every kernel but the convolutions with the real DSP instructions, on an emulated Cortex-M4."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from kernel_loader import RUNTIME, program_parts
from operator_case import values
from test_operator_programs import EXAMPLES
from tflite_builder import reference

LINKER = """
MEMORY { flash (rx) : ORIGIN = 0, LENGTH = 4M  ram (rwx) : ORIGIN = 0x20000000, LENGTH = 4M }
SECTIONS {
  .text : { KEEP(*(.vectors)) *(.text*) *(.rodata*) } > flash
  .data : { *(.data*) *(.bss*) *(COMMON) } > ram AT > flash
  load = LOADADDR(.data); begin = ADDR(.data); end = ADDR(.data) + SIZEOF(.data);
}
"""
START = """
#include <stdint.h>
extern uint8_t load[], begin[], end[];
CHECKS
__attribute__((noreturn)) static void stop(int status) {
    uint32_t block[2] = {0x20026u, (uint32_t)status};
    register uint32_t op __asm__("r0") = 0x20u;
    register uint32_t *arg __asm__("r1") = block;
    __asm__ volatile("bkpt #0xAB" : : "r"(op), "r"(arg) : "memory");
    for (;;) {}
}
static void fault(void) { stop(200); }
void reset(void) {
    for (uint8_t *p = begin, *q = load; p < end;) *p++ = *q++;
    RUN
    stop(0);
}
__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    (const void *)0x20400000, (const void *)reset, (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault, (const void *)fault};
"""
ARM = ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-std=c11", "-O2", "-Wall", "-Wextra"]


@pytest.mark.parametrize("specialise", [False, True])
def test_cortex_m4(specialise: bool, tmp_path: Path, qemu: None) -> None:
    """One image with all examples; the exit status is the number of the first that differs."""
    sources = []
    for name, example in EXAMPLES.items():
        builder, lower = example()
        graph = builder.graph()
        inputs = {
            tensor: values(21 + i, graph.tensors[tensor].shape, graph.tensors[tensor].dtype)
            for i, tensor in enumerate(graph.inputs)
        }
        expected = reference(builder.build(), list(inputs.values()))[0]
        kernel = lower(graph, graph.operators[0])
        text, calls = program_parts(kernel, graph, inputs, specialise=specialise)
        rows = kernel.unit_rows or graph.tensors[kernel.output].rows
        body = "\n".join(call.format(y_begin=0, y_end=rows) for call in calls)
        wanted = ",".join(str(v) for v in np.frombuffer(expected.tobytes(), np.uint8))
        source = tmp_path / f"{name}.c"
        source.write_text(
            f"{text}\nint check_{name}(void);\nint check_{name}(void) {{\n"
            f"    static const uint8_t wanted[] = {{{wanted}}};\n{body}\n"
            "    for (uint32_t i = 0; i < sizeof wanted; i++)\n"
            "        if (((const uint8_t *)output)[i] != wanted[i]) return 1;\n    return 0;\n}\n"
        )
        sources.append(str(source))
    start, script, image = tmp_path / "start.c", tmp_path / "image.ld", tmp_path / "image.elf"
    script.write_text(LINKER)
    start.write_text(
        START.replace("CHECKS", "\n".join(f"int check_{name}(void);" for name in EXAMPLES)).replace(
            "RUN",
            "\n".join(
                f"    if (check_{name}() != 0) stop({number});"
                for number, name in enumerate(EXAMPLES, 1)
            ),
        )
    )
    command = [*ARM, f"-I{RUNTIME}", "-nostartfiles", "-T", str(script), str(start), *sources]
    subprocess.run([*command, "-lc", "-lgcc", "-o", str(image)], check=True)
    run = ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-semihosting", "-kernel"]
    done = subprocess.run([*run, str(image)], timeout=60, stdin=subprocess.DEVNULL)
    wrong = dict(enumerate(EXAMPLES, 1)).get(done.returncode, "")
    assert done.returncode == 0, f"'{wrong}' differs (exit status {done.returncode})"
