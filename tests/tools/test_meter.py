"""The meter against the reference plugin: each instruction's cost, and whole runs."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from thumbnet.codegen.image import build_image
from thumbnet.codegen.targets import board
from thumbnet.tools.emulator import find_qemu, meter_plugin

MakeToy = Callable[..., Path]
REPOSITORY = Path(__file__).resolve().parents[2]
REFERENCE = REPOSITORY.parent / "shared" / "meter" / "m4cycles.c"
METER = REPOSITORY / "tools" / "meter" / "meter.c"

needs_reference = pytest.mark.skipif(
    not REFERENCE.is_file() or shutil.which("cc") is None,
    reason="the reference meter lies in ../shared, or there is no C compiler",
)

_PLUGIN_API = """
#define STUB(name) void name(void) {}
STUB(qemu_plugin_register_vcpu_tb_trans_cb) STUB(qemu_plugin_tb_n_insns)
STUB(qemu_plugin_tb_get_insn) STUB(qemu_plugin_insn_data) STUB(qemu_plugin_insn_size)
STUB(qemu_plugin_insn_vaddr) STUB(qemu_plugin_register_vcpu_tb_exec_cb)
STUB(qemu_plugin_register_atexit_cb)
"""
_OURS = """
#include METER
void ours(uint16_t first, uint16_t second, int size, int *cycles, int *word) {
    tn_cost cost = tn_cost_of(first, second, (size_t)size);
    *cycles = (int)cost.cycles;
    *word = cost.word;
}
"""
_COMPARE = """
#define qemu_plugin_version reference_version
#define qemu_plugin_install reference_install
#include REFERENCE
void ours(uint16_t first, uint16_t second, int size, int *cycles, int *word);
static int differs(unsigned first, unsigned second, int size) {
    D d = dec((uint16_t)first, (uint16_t)second, size);
    int cycles, word;
    ours((uint16_t)first, (uint16_t)second, size, &cycles, &word);
    int same = cycles == (d.n ? 1 + d.n : d.ws ? 2 : d.costA) && word == (d.n ? 0 : d.ws);
    if (!same) printf("%04x %04x\\n", first, second);
    return !same;
}
int main(void) {
    for (unsigned first = 0; first < 0xE800; first++)
        if (differs(first, 0, 2)) return 1;
    for (unsigned first = 0xE800; first < 0x10000; first++)
        for (unsigned second = first % 61; second < 0x10000; second += 61)
            if (differs(first, second, 4)) return 1;
    return 0;
}
"""


@needs_reference
def test_every_instruction_costs_what_the_reference_says(tmp_path: Path) -> None:
    (tmp_path / "api.c").write_text(_PLUGIN_API)
    (tmp_path / "ours.c").write_text(_OURS)
    (tmp_path / "compare.c").write_text(_COMPARE)
    command = ["cc", "-O2", "-w", f'-DMETER="{METER}"', f'-DREFERENCE="{REFERENCE}"', "-o", "both"]
    subprocess.run([*command, "api.c", "ours.c", "compare.c"], cwd=tmp_path, check=True)
    done = subprocess.run(["./both"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"first instruction that differs: {done.stdout}"


def _long_code() -> str:
    """Some 12 KB of loads, stores and calls, so that pages end inside runs of word accesses."""
    lines = ["volatile uint8_t *v = arena + 70; volatile uint32_t *w = (void *)(arena + 72);"]
    for i in range(500):
        lines.append(f"v[{i % 40}] = (uint8_t)(v[{(i * 7) % 40}] + v[{(i * 3) % 40}]);")
        lines.append(f"w[{i % 9}] = w[{(i * 5) % 9}] * {i + 3}u;")
        if i % 50 == 0:
            lines.append(f"if (v[{i % 40}] & 1) memcpy(arena + 72, arena + 90, {i % 17 + 1});")
    lines.append(
        "switch (v[0] & 7) { case 0: w[0] = 1; break; case 1: v[1] = 2; break; case 2: w[3] = 7;"
        " break; case 3: v[9] = 1; break; case 4: w[2] = w[1]; break; case 5: v[3] = 5; break;"
        " case 6: w[7] = v[6]; break; default: v[7] = 9; }"
    )
    return "\n".join(lines)


@needs_reference
@pytest.mark.usefixtures("qemu")
@pytest.mark.parametrize(
    "name", ["mps2-an385", "mps2-an386", "mps2-an500", "mps2-an505", "microbit"]
)
def test_runs_cost_what_the_reference_says(
    name: str, make_toy: MakeToy, work_dir: Path, tmp_path: Path
) -> None:
    on = board(name)
    image = build_image(make_toy(_long_code()), on, work_dir)
    run = tmp_path / "run"
    run.mkdir()
    subprocess.run(
        ["cc", "-O2", "-w", "-shared", "-fPIC", str(REFERENCE), "-o", "reference.so"],
        cwd=run, check=True,
    )  # fmt: skip
    shutil.copy(meter_plugin(work_dir), run / "meter.so")
    shutil.copy(image.elf, run / "image.elf")
    shutil.copy(image.binary, run / "image.bin")
    (run / "inputs.bin").write_bytes(bytes(range(204)))  # three calls
    (run / "layers.txt").write_text("".join(f"{a:#x}\n" for _, a in image.layers))
    region = f"begin={image.run_begin:#x},end={image.run_end:#x},img=image.bin@{image.base:x}"
    subprocess.run(
        [
            find_qemu(), "-M", str(on.machine), "-display", "none", "-monitor", "none",
            "-serial", "stdio", "-nic", "none", "-semihosting-config", "enable=on,target=native",
            "-kernel", "image.elf",
            "-plugin", f"./meter.so,{region},out=ours.json,layers=layers.txt",
            "-plugin", f"./reference.so,{region},out=reference.json",
        ],
        cwd=run, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True, timeout=60,
    )  # fmt: skip
    ours = [json.loads(line) for line in (run / "ours.json").read_text().splitlines()]
    reference = [json.loads(line) for line in (run / "reference.json").read_text().splitlines()]
    assert len(ours) == 3
    assert [(r["instructions"], r["cycles"]) for r in ours] == [
        (r["insns"], r["cyclesA"]) for r in reference
    ]
    for each in ours:
        assert 0 < each["cycles"] - sum(layer["cycles"] for layer in each["layers"]) < 60
