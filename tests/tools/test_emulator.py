"""The ports, the runner and the emulator, on the toy model and on what can go wrong with it."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from thumbnet.codegen.errors import DataError, ToolError
from thumbnet.codegen.image import build_image
from thumbnet.codegen.manifest import read_manifest
from thumbnet.codegen.targets import board
from thumbnet.codegen.toolchain import host_library, stack_bound
from thumbnet.tools import emulator
from thumbnet.tools.board_run import BoardRun
from thumbnet.tools.emulator import emulate

MakeToy = Callable[..., Path]
Calls = list[tuple[bytes, bytes]]
BOARDS = ("mps2-an385", "mps2-an386", "mps2-an500", "mps2-an505", "microbit")

pytestmark = pytest.mark.usefixtures("qemu")


def _calls(count: int) -> Calls:
    draw = random.Random(7)
    return [(draw.randbytes(64), draw.randbytes(4)) for _ in range(count)]


def _on_host(folder: Path, calls: Calls, work_dir: Path) -> tuple[tuple[bytes, ...], ...]:
    library = ctypes.CDLL(str(host_library(folder, work_dir)))
    arena = (ctypes.c_uint32 * 72)()
    library.toy_init(arena)
    outputs = []
    for a, b in calls:
        ctypes.memmove(arena, a + b, 68)
        library.toy_run(arena)
        outputs.append((ctypes.string_at(ctypes.addressof(arena) + 128, 64),))
    return tuple(outputs)


def _run(
    folder: Path, name: str, work_dir: Path, calls: Calls | None = None, timeout: float = 60.0
) -> BoardRun:
    on = board(name)
    return emulate(
        build_image(folder, on, work_dir), on, read_manifest(folder), calls or _calls(3),
        profile=True, timeout=timeout, work_dir=work_dir,
    )  # fmt: skip


@pytest.mark.parametrize("name", BOARDS)
def test_outputs_state_and_figures(name: str, make_toy: MakeToy, work_dir: Path) -> None:
    folder = make_toy()
    calls = _calls(20)
    result = _run(folder, name, work_dir, calls)
    assert result.outputs == _on_host(folder, calls, work_dir)
    assert result.canaries_ok
    assert result.instructions is not None and result.cycles is not None
    assert result.layers is not None
    assert 0 < result.instructions - sum(layer.instructions for layer in result.layers) < 20
    assert 0 < result.cycles - sum(layer.cycles for layer in result.layers) < 40
    bound = stack_bound(folder, board(name).target, work_dir)
    assert 0 < result.stack_bytes <= bound
    assert 0 < result.init_stack_bytes <= bound


def test_a_run_is_deterministic_and_needs_no_meter(make_toy: MakeToy, work_dir: Path) -> None:
    folder = make_toy()
    on = board("mps2-an386")
    first, second = (_run(folder, on.name, work_dir) for _ in range(2))
    assert first == second
    image = build_image(folder, on, work_dir)
    plain = emulate(image, on, read_manifest(folder), _calls(3), meter=False, work_dir=work_dir)
    assert plain.outputs == first.outputs
    assert (plain.instructions, plain.cycles, plain.layers) == (None, None, None)


@pytest.mark.parametrize("name", BOARDS)
@pytest.mark.parametrize(
    "hook",
    [
        "arena[70] = (uint8_t)(((int64_t)b[1] << 40) / (b[0] | 1));",
        "arena[70] = (uint8_t)(((uint64_t)(uint16_t)b[1] << 40) % (uint32_t)(b[0] | 1));",
        "arena[70] = (uint8_t)(__builtin_clz((uint32_t)b[0] | 1u) + (b[1] % (b[0] | 1)));",
        "memmove(arena + 70, arena + 69, (uint32_t)b[0] & 31u); memset(arena + 70, 1, 40);",
    ],
)
def test_the_mark_stays_below_the_bound(
    hook: str, name: str, make_toy: MakeToy, work_dir: Path
) -> None:
    # a small frame in the layer before, so that the library call is the deepest
    folder = make_toy(hook, ("int32_t sum[24];", "static int32_t sum[24];"))
    result = _run(folder, name, work_dir)
    assert 0 < result.stack_bytes <= stack_bound(folder, board(name).target, work_dir)


@pytest.mark.parametrize("name", BOARDS)
@pytest.mark.parametrize(
    "hook",
    [
        "volatile char big[70000]; for (int i = 69999; i >= 0; i--) big[i] = 1;",
        "volatile char big[300000]; big[0] = 1;",
        "toy_run(arena);",
    ],
    ids=["ascending", "leap", "recursion"],
)
def test_a_stack_overflow_is_told(hook: str, name: str, make_toy: MakeToy, work_dir: Path) -> None:
    with pytest.raises(ToolError, match=rf"'toy' on {name}: .*stack.*overflow"):
        _run(make_toy(hook), name, work_dir)


@pytest.mark.parametrize("hook", ["arena[288] = 1;", "arena[-1] = 1;", "arena[288 + 31] = 0;"])
def test_a_write_outside_the_arena_is_told(hook: str, make_toy: MakeToy, work_dir: Path) -> None:
    assert not _run(make_toy(hook), "mps2-an386", work_dir).canaries_ok


@pytest.mark.parametrize("name", BOARDS)
def test_a_fault_is_told(name: str, make_toy: MakeToy, work_dir: Path) -> None:
    hook = "*(volatile int *)0x70000000 = 1;"
    with pytest.raises(ToolError, match=r"exit status 70: thumbnet: fault: .*pc 0x"):
        _run(make_toy(hook), name, work_dir)


def test_a_hang_is_told(make_toy: MakeToy, work_dir: Path) -> None:
    with pytest.raises(ToolError, match=r"no end after 1 s \(3 calls\)"):
        _run(make_toy("for (;;) {}"), "mps2-an386", work_dir, timeout=1.0)


def test_inputs_of_the_wrong_size_are_refused(make_toy: MakeToy, work_dir: Path) -> None:
    folder = make_toy()
    with pytest.raises(DataError, match="input 'b' has 3 bytes, not 4"):
        _run(folder, "mps2-an386", work_dir, [(bytes(64), bytes(3))])


def test_a_missing_emulator_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("THUMBNET_QEMU", raising=False)
    with pytest.raises(ToolError, match="apt-get install qemu-system-arm"):
        emulator.find_qemu()
