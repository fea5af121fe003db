"""Every port: it builds without a warning, knows its memories, and reports what goes wrong."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from sample_models import SAMPLES

from thumbnet.codegen.compile import Options, compile_model
from thumbnet.codegen.errors import BudgetError, ToolError
from thumbnet.codegen.image import STRICT, Image, build_image, read_elf
from thumbnet.codegen.manifest import read_manifest
from thumbnet.codegen.targets import PORTS, Board, board, boards
from thumbnet.tools import port_sizes
from thumbnet.tools.emulator import emulate, find_qemu, started_with_uart
from thumbnet.tools.link import Link

MakeToy = Callable[..., Path]
SHARED = Path(__file__).resolve().parents[3] / "shared" / "models"
REAL = [b.name for b in boards() if b.runner == "link"]
EVERY = [b.name for b in boards()]

pytestmark = pytest.mark.usefixtures("arm")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name in ("small_cnn", "stateful"):
        (folder / f"{name}.tflite").write_bytes(SAMPLES[name]().build())
    return folder


def folder_of(model: Path, on: Board, place: Path) -> Path:
    compile_model(model, place, Options(on.target.name))
    return place


@pytest.mark.parametrize("name", EVERY)
def test_a_port_builds_without_a_warning(
    name: str, models: Path, tmp_path: Path, work_dir: Path
) -> None:
    on = board(name)
    folder = folder_of(models / "stateful.tflite", on, tmp_path / "c")
    image = build_image(folder, on, work_dir, timed_layers=on.runner == "link", flags=STRICT)
    assert 0 < image.flash <= on.flash and 0 < image.sram <= on.sram
    elf = read_elf(image.elf)
    assert elf.stack >= on.stack
    first = image.binary.read_bytes()[:8]
    assert int.from_bytes(first[:4], "little") == elf.symbols["tn_stack_top"]
    assert int.from_bytes(first[4:], "little") == elf.symbols["tn_reset"] | 1
    empty = read_elf(build_image(None, on, work_dir, flags=STRICT).elf)
    own = ("tn_", "empty_")  # a port owes nothing to a library
    assert [name for name in empty.functions if not name.startswith(own)] == []


@pytest.mark.parametrize("name", REAL)
def test_a_family_tells_of_itself(name: str) -> None:
    """A README that says what is untested, a console in words, and a way into flash."""
    on = board(name)
    readme = (on.linker_script.parent / "README.md").read_text(encoding="utf-8")
    assert f"`{name}`" in readme and "silicon" in readme
    assert on.emulated or (on.console and (on.pyocd or on.openocd))


def test_the_contract_is_all_that_an_application_sees() -> None:
    for source in (PORTS / "runner").glob("*.c"):
        includes = [
            line.split('"')[1]
            for line in source.read_text().splitlines()
            if line.startswith('#include "')
        ]
        assert set(includes) <= {"port.h", "runner.h", "tn_model.h"}, source


@pytest.mark.parametrize("name", REAL)
def test_public_models_that_fit(name: str, work_dir: Path) -> None:
    """Of each size one here; `python -m thumbnet.tools.port_sizes` builds all of them."""
    files = ["mlperf_tiny/ad01_int8", "tflm/person_detect", "face_embedding/mobilefacenet_int8"]
    paths = [SHARED / f"{file}.tflite" for file in files]
    if not all(path.exists() for path in paths):
        pytest.skip("the public models are not beside the checkout")
    small, middle, large = (port_sizes.size_of(path, board(name)) for path in paths)
    for size, least in ((small, 290_000), (middle, 295_000), (large, 1_550_000)):
        if board(name).flash >= least and board(name).sram >= 136_000:
            assert not size.refusal and size.flash < least, size
        elif size.refusal:
            assert f"model '{size.model}' does not fit {name}" in size.refusal
            assert "is short by" in size.refusal and "larger board" in size.refusal
    assert bool(large.refusal) == (
        min(board(name).flash / 1_550_000, board(name).sram / 136_000) < 1
    )


# ---- memories ----------------------------------------------------------------------------------


def with_arena(make_toy: MakeToy, size: int) -> Path:
    """The toy model with an arena of `size` bytes."""
    folder = make_toy()
    for file, old, new in (
        ("toy.h", "#define TOY_ARENA_SIZE 288", f"#define TOY_ARENA_SIZE {size}"),
        ("manifest.json", '"arena_bytes": 288', f'"arena_bytes": {size}'),
    ):
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))
    return folder


def arena_of(image: Image) -> int:
    return read_elf(image.elf).symbols["tn_memory"]


def test_an_arena_goes_into_the_fastest_memory_that_takes_it(
    make_toy: MakeToy, work_dir: Path
) -> None:
    on = board("nucleo-h743zi")
    dtcm = arena_of(build_image(with_arena(make_toy, 100_000), on, work_dir))
    assert 0x20000000 <= dtcm < 0x20020000
    assert arena_of(build_image(with_arena(make_toy, 200_000), on, work_dir)) == 0x24000000
    with pytest.raises(BudgetError, match=r"SRAM .AXI. is short by \d+ bytes"):
        build_image(with_arena(make_toy, 600_000), on, work_dir)


def test_what_does_not_fit_is_refused_before_linking(
    make_toy: MakeToy, work_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thumbnet.codegen import image as images

    on = board("nucleo-f446re")
    build_image(None, on, work_dir)

    def refuse(*_: object) -> None:
        raise AssertionError("the linker was asked")

    folder = with_arena(make_toy, 130_000)
    monkeypatch.setattr(images, "link", refuse)
    with pytest.raises(BudgetError, match=r"nucleo-f446re: SRAM is short by \d+ bytes"):
        build_image(folder, on, work_dir)


def test_the_linker_keeps_to_the_chip_where_the_emulator_has_more(
    make_toy: MakeToy, work_dir: Path
) -> None:
    """QEMU gives the STM32F405 192 KB of SRAM; the chip has 128."""
    on = board("netduinoplus2")
    assert build_image(with_arena(make_toy, 120_000), on, work_dir).sram <= 128 * 1024
    with pytest.raises(BudgetError):
        build_image(with_arena(make_toy, 140_000), on, work_dir)


# ---- what goes wrong on a board ----------------------------------------------------------------


def refusal(folder: Path, work_dir: Path) -> str:
    on = board("netduinoplus2")
    image = build_image(folder, on, work_dir)
    with pytest.raises(ToolError) as caught:
        emulate(image, on, read_manifest(folder), [[bytes(64), bytes(4)]], meter=False, timeout=20)
    return str(caught.value)


@pytest.mark.usefixtures("qemu")
@pytest.mark.parametrize(
    ("hook", "said"),
    [
        (
            '__asm volatile("1: push {r0}\\n\\tb 1b");',
            "thumbnet: stack overflow: the stack has 4096 bytes",
        ),
        ("*(volatile int *)0x60000000 = 1;", "thumbnet: fault: exception"),
        ('__asm volatile("udf #0");', "thumbnet: fault: exception 6 pc 0x08"),
    ],
    ids=["overflow", "bus fault", "undefined"],
)
def test_a_fault_is_reported_over_the_link_and_the_board_starts_anew(
    hook: str, said: str, make_toy: MakeToy, work_dir: Path
) -> None:
    text = refusal(make_toy(hook), work_dir)
    assert f"the board was reset in the middle (it said: {said}" in text


@pytest.mark.usefixtures("qemu")
def test_a_board_answers_again_after_a_fault(
    make_toy: MakeToy, work_dir: Path, tmp_path: Path
) -> None:
    on = board("netduinoplus2")
    folder = make_toy('if (b[0] == 77) __asm volatile("udf #0");')
    image = build_image(folder, on, work_dir)
    (tmp_path / "image.elf").symlink_to(image.elf)
    command = (find_qemu(), "-M", str(on.machine), "-display", "none", "-monitor", "none",
               "-nic", "none", "-kernel", "image.elf")  # fmt: skip
    manifest = read_manifest(folder)
    with started_with_uart(command, tmp_path) as transport:
        good = [[bytes(64), bytes(4)], [bytes(range(64)), b"\1\2\3\4"]]
        first = Link(transport, "board").run(manifest, good).outputs
        with pytest.raises(ToolError, match="was reset in the middle"):
            Link(transport, "board").run(manifest, [[bytes(64), b"\x4d\0\0\0"]])
        assert Link(transport, "board").run(manifest, good).outputs == first


def test_the_link_on_a_cortex_m0(
    make_toy: MakeToy, work_dir: Path, tmp_path: Path, qemu: None
) -> None:
    """Firmware of the real micro:bit on the emulated one."""
    folder = make_toy()
    image = build_image(folder, board("bbc-microbit-v1"), work_dir, timed_layers=False)
    (tmp_path / "image.elf").symlink_to(image.elf)
    command = (find_qemu(), "-M", "microbit", "-display", "none", "-monitor", "none",
               "-kernel", "image.elf")  # fmt: skip
    calls = [(bytes(range(i, i + 64)), bytes([i, 1, 2, 3])) for i in range(3)]
    manifest = read_manifest(folder)
    with started_with_uart(command, tmp_path) as transport:
        found = Link(transport, "board").run(manifest, calls)
    on = board("microbit")
    same = emulate(build_image(folder, on, work_dir), on, manifest, calls, meter=False)
    assert found.outputs == same.outputs and found.canaries_ok


def test_a_machine_that_does_not_start_is_told(tmp_path: Path, qemu: None) -> None:
    command = (find_qemu(), "-M", "no-such-machine")
    with (
        pytest.raises(ToolError, match="does not start: .*unsupported machine type"),
        started_with_uart(command, tmp_path),
    ):
        pass


def test_sockets_and_processes_are_gone_at_the_end(
    tmp_path: Path, qemu: None, work_dir: Path
) -> None:
    on = board("netduinoplus2")
    (tmp_path / "image.elf").symlink_to(build_image(None, on, work_dir).elf)
    command = (find_qemu(), "-M", str(on.machine), "-display", "none", "-monitor", "none",
               "-kernel", "image.elf")  # fmt: skip
    with started_with_uart(command, tmp_path) as transport:
        Link(transport, "board")
        ours = transport._socket.getsockname()[1]
        running = subprocess.run(
            ["ps", "-ewwo", "args"], capture_output=True, text=True, check=True
        )
        assert f"port={ours}" in running.stdout
    with pytest.raises(ToolError, match="was lost"):
        transport.write(b"\0")
    assert isinstance(transport._socket, socket.socket) and transport._socket.fileno() == -1
    listed = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True, check=True)
    assert f"port={ours}" not in listed.stdout
