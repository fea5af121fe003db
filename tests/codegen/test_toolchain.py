"""Targets, boards, images, the stack bound and the host library, on the toy model."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from thumbnet.codegen import image as images
from thumbnet.codegen import toolchain
from thumbnet.codegen.errors import BudgetError, DataError, ToolError
from thumbnet.codegen.manifest import read_manifest
from thumbnet.codegen.targets import board, boards, reference_board, target, targets

MakeToy = Callable[..., Path]
EMULATED = ("mps2-an385", "mps2-an386", "mps2-an500", "mps2-an505", "microbit")


def test_boards_are_listed_and_complete() -> None:
    names = [b.name for b in boards()]
    assert set(EMULATED) <= set(names)
    assert not any(name.startswith("sizing") for name in names)
    for each in boards():
        assert each.linker_script.is_file()
        assert all(source.is_file() for source in each.sources)


def test_every_core_has_a_board_of_its_own_target() -> None:
    for each in targets():
        reference = reference_board(each)
        assert (reference is None) == (each.name == "host")
        assert reference is None or reference.target == each


def test_unknown_names_list_the_choices() -> None:
    with pytest.raises(ToolError, match=r"'nucleo'.*microbit.*mps2-an386"):
        board("nucleo")
    with pytest.raises(ToolError, match=r"'cortex-m9'.*cortex-m0plus"):
        target("cortex-m9")


@pytest.mark.usefixtures("arm")
@pytest.mark.parametrize("name", [*EMULATED, "sizing-cortex-m0plus"])
def test_image_sizes_add_up(name: str, make_toy: MakeToy, work_dir: Path) -> None:
    empty = images.build_image(None, board(name), work_dir)
    image = images.build_image(make_toy(), board(name), work_dir)
    assert empty.code == 0 and empty.weights == 0
    assert empty.flash < 2048
    assert image.weights == 160
    assert image.flash == image.text + image.weights + image.rodata + image.data
    assert image.code == image.flash - image.weights - empty.flash
    assert image.flash == image.binary.stat().st_size
    assert [symbol for symbol, _ in image.layers] == [
        "toy_layer_00_mul_add", "toy_layer_01_divide", "toy_layer_02_high",
    ]  # fmt: skip
    assert len({address for _, address in image.layers}) == 3


@pytest.mark.usefixtures("arm")
def test_a_second_build_is_the_first(
    make_toy: MakeToy, work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_toy()
    first = images.build_image(folder, board("mps2-an386"), work_dir)

    def refuse(*_: object) -> None:
        raise AssertionError("nothing is to be compiled again")

    monkeypatch.setattr(toolchain, "run_tool", refuse)
    monkeypatch.setattr(images, "run_tool", refuse)
    assert images.build_image(folder, board("mps2-an386"), work_dir) == first
    monkeypatch.undo()
    changed = make_toy("arena[70] = 3;")
    assert images.build_image(changed, board("mps2-an386"), work_dir).elf != first.elf


@pytest.mark.usefixtures("arm")
def test_two_processes_may_build_at_once(make_toy: MakeToy, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from thumbnet.codegen.targets import board\n"
        "from thumbnet.codegen.image import build_image\n"
        "print(build_image(Path(sys.argv[1]), board('microbit'), Path(sys.argv[2])).flash)\n"
    )
    command = [sys.executable, "-c", script, str(make_toy()), str(tmp_path / "cache")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    results = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert results[0] == results[1]
    assert not list((tmp_path / "cache").glob(".*"))


@pytest.mark.usefixtures("arm")
def test_too_big_names_the_memory_and_by_how_much(make_toy: MakeToy, work_dir: Path) -> None:
    folder = make_toy()
    header = folder / "toy.h"
    header.write_text(header.read_text().replace("SIZE 288", "SIZE 20000"))
    with pytest.raises(BudgetError, match=r"'toy' does not fit microbit: SRAM is short by \d+"):
        images.build_image(folder, board("microbit"), work_dir)


@pytest.mark.usefixtures("arm")
def test_stack_bound_counts_frames_and_library_calls(make_toy: MakeToy, work_dir: Path) -> None:
    # mul_add holds 24 words and calls memcpy: 8 (toy_run) + 112 + 32
    assert toolchain.stack_bound(make_toy(), target("cortex-m4"), work_dir) == 152
    big = make_toy("volatile char big[3000]; big[2999] = 1;")
    assert 3000 < toolchain.stack_bound(big, target("cortex-m4"), work_dir) < 3100


@pytest.mark.usefixtures("arm")
@pytest.mark.parametrize(
    ("hook", "reason"),
    [
        ("toy_run(arena);", "recursion"),
        ("void (*volatile f)(uint8_t *) = toy_init; f(arena);", "calls through a pointer"),
        ("volatile char v[b[0] & 31]; v[0] = 1;", "unknown size"),
        ("extern int other(int); arena[70] = (uint8_t)other(3);", "calls 'other'"),
    ],
)
def test_stack_without_a_bound_is_refused(
    hook: str, reason: str, make_toy: MakeToy, work_dir: Path
) -> None:
    with pytest.raises(ToolError, match=reason):
        toolchain.stack_bound(make_toy(hook), target("cortex-m4"), work_dir)


@pytest.mark.usefixtures("arm")
def test_a_compiler_error_is_told(make_toy: MakeToy, work_dir: Path) -> None:
    with pytest.raises(ToolError, match=r"model 'toy' for cortex-m4: .*nonsense"):
        images.build_image(make_toy("nonsense = 1;"), board("mps2-an386"), work_dir)
    with pytest.raises(ToolError, match=r"undefined reference to `other'"):
        images.build_image(
            make_toy("extern int other(int); arena[70] = (uint8_t)other(3);"),
            board("mps2-an386"),
            work_dir,
        )


@pytest.mark.usefixtures("arm")
def test_a_layer_that_is_not_in_the_image_is_told(make_toy: MakeToy, work_dir: Path) -> None:
    folder = make_toy()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["layers"][0]["symbol"] = "toy_layer_99"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ToolError, match="toy_layer_99"):
        images.build_image(folder, board("mps2-an386"), work_dir)


def test_missing_tools_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("THUMBNET_ARM_GCC", raising=False)
    monkeypatch.delenv("THUMBNET_CC", raising=False)
    toolchain._arm_compiler.cache_clear()
    with pytest.raises(ToolError, match="apt-get install gcc-arm-none-eabi"):
        toolchain.arm_compiler()
    with pytest.raises(ToolError, match="apt-get install gcc"):
        toolchain.host_compiler()
    monkeypatch.setenv("THUMBNET_ARM_GCC", "no-such-gcc")
    with pytest.raises(ToolError, match="THUMBNET_ARM_GCC names 'no-such-gcc'"):
        toolchain.arm_compiler()


def test_not_a_model_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"manifest\.json"):
        read_manifest(tmp_path)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler on this machine")
@pytest.mark.parametrize("dsp", [False, True])
def test_host_library_runs(dsp: bool, make_toy: MakeToy, work_dir: Path) -> None:
    library = ctypes.CDLL(str(toolchain.host_library(make_toy(), work_dir, dsp=dsp)))
    arena = (ctypes.c_uint32 * 72)()
    library.toy_init(arena)
    ctypes.memset(arena, 3, 64)
    library.toy_run(arena)
    library.toy_run(arena)
    assert ctypes.string_at(ctypes.addressof(arena) + 128, 3) != bytes(3)


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler on this machine")
def test_sanitized_host_library_builds(make_toy: MakeToy, work_dir: Path) -> None:
    plain = toolchain.host_library(make_toy(), work_dir)
    sanitized = toolchain.host_library(make_toy(), work_dir, sanitize=True)
    assert b"__asan_" in sanitized.read_bytes()
    assert b"__asan_" not in plain.read_bytes()
