"""The projects of examples/, built from copies with the commands that their READMEs give."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from command_line import thumbnet

from thumbnet.codegen.host import HostModel
from thumbnet.codegen.manifest import read_manifest
from thumbnet.codegen.toolchain import host_library

ROOT = Path(__file__).resolve().parent.parent.parent
HERE = Path(__file__).resolve().parent
EXAMPLES = sorted(p.name for p in (ROOT / "examples").iterdir() if p.is_dir())
PUBLIC = ROOT.parent / "shared" / "models"


def _commands(folder: Path) -> list[str]:
    """The lines of the code blocks of a README, without their comments."""
    blocks = re.findall(r"^```\n(.*?)^```", (folder / "README.md").read_text(), re.M | re.S)
    return [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]


def _run(command: str | Sequence[object], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command if isinstance(command, str) else list(map(str, command)),
        shell=isinstance(command, str),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tests compile and build once for all."""
    return tmp_path_factory.mktemp("place")


def _compiled(place: Path, words: Sequence[str]) -> Path:
    """The folder that `thumbnet compile` with these words writes; the same words do it once."""
    folder = place / re.sub(r"\W+", "_", " ".join(words))
    if not folder.exists():
        done = thumbnet(ROOT / "examples" / "makefile", "compile", *words, "-o", folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def example(request: pytest.FixtureRequest, place: Path, tmp_path: Path) -> Path:
    """A copy of an example with the models that its README says; beside it apps/ and ports/."""
    name = request.param
    for room in ("apps", "ports"):
        (tmp_path / room).symlink_to(ROOT / room)
    folder = tmp_path / "examples" / name
    shutil.copytree(ROOT / "examples" / name, folder)
    for command in _commands(folder):
        words = command.split()
        if words[:2] == ["thumbnet", "compile"]:
            at = words.index("-o")
            out = folder / words[at + 1].replace("~", str(tmp_path / "home"))
            shutil.copytree(_compiled(place, [*words[2:at], *words[at + 2 :]]), out)
    return folder


def _of(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("example", [name], indirect=True)


def _needs(*programs: str) -> None:
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


@pytest.fixture(scope="module")
def silence(place: Path) -> list[int]:
    """The scores that the network gives for silence, on this computer."""
    folder = _compiled(place, ["../../apps/kws/kws.tflite", "--name", "kws"])
    manifest = read_manifest(folder)
    (edge,) = manifest.inputs
    zero = bytes([edge.zero_point & 0xFF]) * edge.bytes
    (out,) = HostModel(host_library(folder, place / "work"), manifest)([zero])
    return [b - 256 if b > 127 else b for b in out]


def _numbered(scores: Sequence[int]) -> str:
    return "".join(f"{i}: {score}\n" for i, score in enumerate(scores))


def test_every_example_is_listed_and_tested() -> None:
    text, tests = (ROOT / "examples" / "README.md").read_text(), Path(__file__).read_text()
    for name in EXAMPLES:
        assert f"[`{name}/`]({name}/README.md)" in text
        assert f'_of("{name}")' in tests or name == "stm32cubeide"  # which has nothing to build


@_of("makefile")
def test_makefile(example: Path, silence: list[int], arm: None) -> None:
    _needs("make", "gcc")
    here, cross = [c for c in _commands(example) if c.startswith("make")]
    assert _run(here, example).endswith(_numbered(silence))
    _run(cross, example)
    assert (example / "words.elf").is_file()


@_of("cmake")
def test_cmake(example: Path, silence: list[int], arm: None) -> None:
    _needs("cmake", "gcc")
    said = [_run(c, example) for c in _commands(example) if c.startswith("cmake")]
    assert said[0].endswith(_numbered(silence))
    assert (example / "build" / "arm" / "words").is_file()
    assert (example / "build" / "prebuilt" / "words").is_file()
    installed = example / "build" / "installed"
    assert sorted(p.name for p in (installed / "include").iterdir()) == ["kws.h", "kws.hpp"]


@_of("zephyr")
def test_zephyr(example: Path, silence: list[int]) -> None:
    _needs("cmake", "gcc")
    _run(
        ["cmake", "-B", "build", "-G", "Unix Makefiles"], example, ZEPHYR_BASE=str(HERE / "zephyr")
    )
    _run(["cmake", "--build", "build"], example)
    assert _run(["build/zephyr.elf"], example) == _numbered(silence)
    flags = (example / "build" / "modules" / "thumbnet_kws").rglob("flags.make")
    options = next(flags).read_text()
    assert options.index("-Os") < options.index("-O2")  # the last one counts
    assert options.index("-ffreestanding") < options.index("-fhosted")

    kconfiglib = pytest.importorskip("kconfiglib")
    kconfig = kconfiglib.Kconfig(str(example / "kws" / "zephyr" / "Kconfig"), warn_to_stderr=False)
    kconfig.load_config(str(example / "prj.conf"))
    assert kconfig.warnings == []
    assert kconfig.syms["THUMBNET_KWS"].str_value == "y"


def _on_arduino(sketch: Path, library: Path, build: Path) -> str:
    """What a sketch prints, built as the Arduino CLI's library specification says: flat layout."""
    build.mkdir()
    (build / "sketch.cpp").write_text(f"#include <Arduino.h>\n{sketch.read_text()}")
    sources = [*library.glob("*.c"), *library.glob("*.cpp"), *library.glob("utility/*.c")]
    assert (library / "library.properties").is_file()
    assert not (library / "src").exists()
    common = ["-Os", "-ffunction-sections", f"-I{HERE / 'arduino'}", f"-I{library}", "-c"]
    for i, source in enumerate(sources):
        _run(["gcc", "-std=gnu11", *common, source, "-o", f"{i}.o"], build)
    cpp = ["-std=gnu++11", "-fno-exceptions", "-fno-rtti", "-Wall", "-Wextra", "-Werror"]
    _run(["g++", *cpp, *common, "sketch.cpp", "-o", "sketch.o"], build)
    objects = [f"{i}.o" for i in range(len(sources))]
    _run(["g++", "sketch.o", *objects, "-Wl,--gc-sections", "-o", "sketch"], build)
    return _run(["./sketch"], build)


@_of("arduino")
def test_arduino(example: Path, silence: list[int], tmp_path: Path) -> None:
    _needs("gcc", "g++")
    library = tmp_path / "home" / "Arduino" / "libraries" / "kws"
    said = _on_arduino(example / "words" / "words.ino", library, tmp_path / "build")
    assert said == "".join(f"{score}\n" for score in silence)


def _platformio_packages(core: Path) -> None:
    """What PlatformIO would fetch from its registry to start: SCons, which is here already."""
    dependencies = pytest.importorskip("platformio.dependencies")
    pytest.importorskip("SCons")
    version = dependencies.get_core_dependencies()["tool-scons"].lstrip("~")
    folder = core / "packages" / "tool-scons"
    folder.mkdir(parents=True)
    named = {"name": "tool-scons", "version": version}
    spec = {"owner": "platformio", "id": 8192, "name": "tool-scons"}
    (folder / "package.json").write_text(json.dumps({**named, "description": "SCons"}))
    (folder / ".piopm").write_text(json.dumps({"type": "tool", **named, "spec": spec}))
    (folder / "scons.py").write_text("from SCons.Script import main\nmain()\n")


@_of("platformio")
def test_platformio(example: Path, silence: list[int], tmp_path: Path) -> None:
    """PlatformIO itself builds it, for this computer instead of a board."""
    _needs("gcc", "g++")
    core = tmp_path / "core"
    _platformio_packages(core)
    pio = [sys.executable, "-m", "platformio"]
    quiet = {"PLATFORMIO_CORE_DIR": str(core), "PLATFORMIO_NO_ANSI": "1"}
    linted = _run([*pio, "project", "config", "--lint", "--json-output"], example, **quiet)
    assert ast.literal_eval(linted) == {"errors": [], "warnings": []}
    (example / "platformio.ini").write_text(
        f"[env:host]\nplatform = file://{HERE / 'platformio'}\n"
        f"build_flags = '-I{HERE / 'arduino'}'\n"
    )
    said = _run([*pio, "run", "-v"], example, **quiet)
    compiled = [line.split() for line in said.splitlines() if "kws.o -c" in line]
    assert len(compiled) == 1
    assert "-O2" in compiled[0]
    assert "-Os" not in compiled[0]
    program = example / ".pio" / "build" / "host" / "program"
    assert _run([program], example) == "".join(f"{score}\n" for score in silence)


# ---- two models ----------------------------------------------------------------------------------


def _bytes(seed: int, count: int) -> bytes:
    """What fill() of main.c writes."""
    out = bytearray()
    for _ in range(count):
        seed = (seed * 1664525 + 1013904223) % 2**32
        out.append(seed >> 24)
    return bytes(out)


def _check_two_models(example: Path, work: Path, said: str) -> None:
    """Every output that was printed is this computer's; the interrupt's were checked by main.c."""
    models = {}
    for name in ("first", "second"):
        library = host_library(example / name, work)
        models[name] = HostModel(library, read_manifest(example / name))
    lines = [line.strip() for line in said.splitlines()]
    shown = [line.split(" ", 1) for line in lines if line.split(" ")[0] in (*models, "urgent")]
    assert len(shown) >= 7
    seeds = {"first": 0, "second": 0}
    for what, text in shown:
        name, seed = ("first", 99) if what == "urgent" else (what, seeds[what])
        if what in seeds:
            seeds[what] += 1
        (edge,) = read_manifest(example / name).inputs
        (wanted,) = models[name]([_bytes(seed, edge.bytes)])
        assert bytes.fromhex(text) == wanted, (what, seed)
    ending = re.fullmatch(r"preempted runs (\d+), different bytes 0", lines[-1])
    assert ending, lines[-1]
    assert int(ending[1]) >= 6


@pytest.mark.parametrize("board", ["mps2-an386", "microbit"])
@_of("two_models")
def test_two_models(example: Path, place: Path, board: str, qemu: None) -> None:
    _needs("make", "gcc")
    warnings = "-Wall -Wextra -Wconversion -Werror"
    command = ["make", "-s", f"BOARD={board}", f"CC=arm-none-eabi-gcc {warnings}", "run"]
    _check_two_models(example, place / "work", _run(command, example))


def _stated(example: Path) -> list[int]:
    """The bytes saved by the table of the README."""
    row = r"^\| .* \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|$"
    rows = re.findall(row, (example / "README.md").read_text(), re.MULTILINE)
    figures = [[int(cell.replace(",", "")) for cell in cells] for cells in rows]
    assert all(shared + saved == alone for shared, alone, saved in figures)
    return [saved for *_, saved in figures]


@_of("two_models")
def test_sharing_saves_code(example: Path, arm: None) -> None:
    _needs("make")
    assert _saved(example) == pytest.approx(_stated(example)[0], rel=0.05)


@pytest.mark.slow
@_of("two_models")
def test_sharing_saves_code_of_public_models(example: Path, place: Path, arm: None) -> None:
    _needs("make")
    pairs = [
        ("mlperf_tiny/kws_ref_model", "mlperf_tiny/vww_96_int8"),
        ("mlperf_tiny/str_ww_ref_model", "tflm/micro_speech_quantized"),
    ]
    for pair, stated in zip(pairs, _stated(example)[1:], strict=True):
        for name, path in zip(("first", "second"), pair, strict=True):
            model = PUBLIC / f"{path}.tflite"
            if not model.is_file():
                pytest.skip(f"{model} is not there")
            shutil.rmtree(example / name)
            shutil.copytree(_compiled(place, [str(model), "--name", name]), example / name)
        assert _saved(example) == pytest.approx(stated, rel=0.05)


def _saved(example: Path) -> int:
    _run(["make", "-s", "clean"], example)
    table = _run(["make", "-s", "sizes"], example).splitlines()[-2:]
    shared, alone = (int(line.split()[0]) for line in table)
    return alone - shared
