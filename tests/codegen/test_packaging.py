"""The folder that compile writes, as the build systems of others and as C++ see it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from sample_models import SAMPLES

from thumbnet.codegen.compile import Options, compile_model
from thumbnet.codegen.emit_cpp import class_name
from thumbnet.codegen.manifest import FILE_NAME, Manifest, read_manifest
from thumbnet.codegen.packaging import packaging_files

KWS = Path(__file__).resolve().parent.parent.parent / "apps" / "kws" / "kws.tflite"
WARNINGS = ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wpedantic", "-Werror"]
STRICT_C = [*WARNINGS, "-Wmissing-prototypes", "-Wmissing-declarations", "-std=c11"]
STRICT_CPP = [*WARNINGS, "-Wold-style-cast", "-Wcast-align", "-fno-exceptions", "-fno-rtti"]
CASES = {
    "whole": ("small_cnn", Options("host")),
    "rows": ("small_cnn", Options("host", input="rows")),
    "stepper": ("residual", Options("host", stepper=True)),
    "stateful": ("stateful", Options("host")),
    "stream": ("kws", Options("host", name="kws", input="stream")),
    "two_inputs": ("two_inputs", Options("host")),
    "branches": ("branches", Options("host")),
    "uint8_and_int16": ("uint8_edges", Options("host")),
    "float_edges": ("float_edges", Options("host")),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, make in SAMPLES.items():
        (folder / f"{name}.tflite").write_bytes(make().build())
    shutil.copy(KWS, folder)
    return folder


@pytest.fixture(scope="module")
def compiled(models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder for each case."""
    place = tmp_path_factory.mktemp("folders")
    for case, (model, options) in CASES.items():
        compile_model(models / f"{model}.tflite", place / case, options)
    return {case: place / case for case in CASES}


def _run(command: Sequence[object], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout


def _files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


# ---- files ---------------------------------------------------------------------------------------


def test_what_is_written_is_listed_and_the_same_each_time(models: Path, tmp_path: Path) -> None:
    first = compile_model(models / "small_cnn.tflite", tmp_path / "a", Options("host"))
    compile_model(models / "small_cnn.tflite", tmp_path / "b", Options("host"))
    written = _files(tmp_path / "a")
    assert set(first.files) == written == _files(tmp_path / "b")
    for file in written:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    manifest = first.manifest
    listed = {*manifest.sources, *manifest.headers, *manifest.packaging}
    assert written - listed == {FILE_NAME, "report.html"}
    assert {"library.json", "library.properties", "zephyr/module.yml"} <= listed


def test_files_of_an_earlier_compile_go(models: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    compile_model(models / "small_cnn.tflite", out, Options("host", name="old"))
    table = json.loads((out / FILE_NAME).read_text())
    table["packaging"].append("old.mk")  # of another version, say
    (out / "old.mk").write_text("")
    (out / "mine.txt").write_text("")
    (out / FILE_NAME).write_text(json.dumps(table))
    new = compile_model(models / "small_cnn.tflite", out, Options("host", name="new_one"))
    assert _files(out) == {*new.files, "mine.txt"}
    del table["packaging"]  # a manifest from before there was such a list
    (out / FILE_NAME).write_text(json.dumps(table))
    assert read_manifest(out).packaging == ()


# ---- C++ -----------------------------------------------------------------------------------------


def _program(manifest: Manifest) -> str:
    """C++ that runs the model through the class and through C, and compares all outputs."""
    name, upper = manifest.name, manifest.name.upper()
    fill, feed, compare = [], "model.run();", []
    for edge in manifest.inputs:
        label = edge.accessor.removeprefix(f"{name}_")
        cast = f"static_cast<std::remove_reference<decltype(model.{label}()[0])>::type>"
        if not manifest.row_fed:
            fill.append(
                f"n = 0; for (auto &x : model.{label}()) x = {cast}(n++ * 37 + 11);\n"
                f"std::memcpy({edge.accessor}(other), model.{label}(), sizeof model.{label}());"
            )
        convert = f"thumbnet::{name}::quantize_{label}(0.25f) == {name}_quantize_{label}(0.25f)"
        compare.append(f"if (!({convert})) return 2;")
    if manifest.row_fed:
        rows, size = f"{upper}_INPUT_ROWS", f"{upper}_INPUT_ROW_SIZE"
        fill.append(
            f"static int8_t input[{upper}_INPUT_SIZE], row[{size}];\n"
            "for (auto &x : input) x = static_cast<int8_t>(n++ * 37 + 11);"
        )
        feed = (
            f"model.begin(); for (int y = 0; y < {rows}; y++) {{\n"
            f"std::memcpy(row, input + y * {size}, sizeof row);\n"
            f"if (model.feed(row) != (y == {rows} - 1)) return 3; }}"
        )
    if manifest.stepper:
        feed = "model.begin(); while (!model.step()) n++;"
    other = f"{name}_run_rows(other, input);" if manifest.row_fed else f"{name}_run(other);"
    for edge in manifest.outputs:
        label = edge.accessor.removeprefix(f"{name}_")
        compare += [
            f"if (sizeof model.{label}() != {edge.bytes}) return 4;",
            f"if (std::memcmp(model.{label}(), {edge.accessor}(other), {edge.bytes})) return 5;",
            f"if (model.dequantize_{label}(3) != {name}_dequantize_{label}(3)) return 6;",
        ]
    again = "model.run_rows(input);" if manifest.row_fed else "model.run();"
    init = f"model.init(); {name}_init(other);" if manifest.state else ""
    body = "\n".join([init, *fill, feed, other, *compare, again, "return 0;"])
    return f"""#include "{name}.hpp"
#include <cstring>
#include <type_traits>
static uint8_t arena[{upper}_ARENA_SIZE] {upper}_ARENA_ALIGN;
static uint8_t other[{upper}_ARENA_SIZE + 8] {upper}_ARENA_ALIGN;
static thumbnet::{name} model(arena);
static_assert(sizeof(thumbnet::{name}) == sizeof(void *), "a pointer");
static_assert(std::is_trivially_destructible<thumbnet::{name}>::value, "owns nothing");
int main() {{
    int n = 0;
    thumbnet::{name} second = thumbnet::{name}::at(other);
    (void)second;
    {body}
}}
"""


@pytest.mark.parametrize("case", CASES)
def test_cpp_wrapper(compiled: dict[str, Path], case: str, tmp_path: Path) -> None:
    folder = compiled[case]
    manifest = read_manifest(folder)
    (tmp_path / "main.cpp").write_text(_program(manifest))
    _run(["gcc", *STRICT_C, "-O1", "-c", folder / manifest.sources[0], "-o", "model.o"], tmp_path)
    for standard in ("c++11", "c++20"):
        flags = [*STRICT_CPP, f"-std={standard}", "-O1", f"-I{folder}"]
        _run(["g++", *flags, "main.cpp", "model.o", "-o", "main"], tmp_path)
        _run(["./main"], tmp_path)


def test_cpp_wrapper_costs_nothing(compiled: dict[str, Path], tmp_path: Path) -> None:
    """An object of static storage is neither constructed at start-up nor kept."""
    name = read_manifest(compiled["whole"]).name
    (tmp_path / "main.cpp").write_text(
        f'#include "{name}.hpp"\nstatic uint8_t arena[{name.upper()}_ARENA_SIZE];\n'
        f"static thumbnet::{name} model(arena);\nvoid f();\nvoid f() {{ model.run(); }}\n"
    )
    flags = ["-std=c++11", "-O2", "-fno-exceptions", f"-I{compiled['whole']}"]
    _run(["g++", *flags, "-c", "main.cpp", "-o", "main.o"], tmp_path)
    symbols = {line.split()[-1] for line in _run(["nm", "main.o"], tmp_path).splitlines()}
    assert {s for s in symbols if "." not in s} <= {
        "_Z1fv", "_ZL5arena", f"{name}_run", "_GLOBAL_OFFSET_TABLE_"
    }  # fmt: skip


def test_cpp_wrapper_refuses_a_small_arena(compiled: dict[str, Path], tmp_path: Path) -> None:
    name = read_manifest(compiled["whole"]).name
    (tmp_path / "main.cpp").write_text(
        f'#include "{name}.hpp"\nstatic uint8_t arena[{name.upper()}_ARENA_SIZE - 1];\n'
        f"thumbnet::{name} model(arena);\n"
    )
    command = ["g++", "-std=c++11", f"-I{compiled['whole']}", "-fsyntax-only", "main.cpp"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert f"the arena needs {name.upper()}_ARENA_SIZE bytes" in done.stderr


@pytest.mark.parametrize("name", ["new", "class", "run", "input", "thumbnet", "begin"])
def test_cpp_wrapper_of_any_name(models: Path, name: str, tmp_path: Path) -> None:
    compile_model(models / "small_cnn.tflite", tmp_path, Options("host", name=name))
    cls = class_name(name, [])
    (tmp_path / "main.cpp").write_text(
        f'#include "{name}.hpp"\nstatic uint8_t arena[{name.upper()}_ARENA_SIZE];\n'
        f"int main() {{ thumbnet::{cls if name != 'input' else 'input_'}(arena).run(); }}\n"
    )
    _run(["g++", "-std=c++20", *STRICT_CPP, "-fsyntax-only", "main.cpp"], tmp_path)


# ---- kernels that models share -------------------------------------------------------------------


def _weak(folder: Path, *flags: str) -> set[str]:
    """The weak functions of a model's object."""
    source = read_manifest(folder).sources[0]
    obj = folder.parent / f"{folder.name}.o"
    _run(["gcc", *(flags or ["-O2"]), "-c", source, "-o", obj], folder)
    found = (line.split() for line in _run(["nm", obj], folder).splitlines())
    return {words[2] for words in found if len(words) == 3 and words[1] in "wW"}


def test_shared_kernels_are_named_after_what_they_are(models: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        compile_model(models / "small_cnn.tflite", tmp_path / name, Options("host", name=name))
    plain = _weak(tmp_path / "one")
    assert plain and plain == _weak(tmp_path / "two")
    assert not [symbol for symbol in plain if "one" in symbol or not symbol.startswith("tn_")]
    builds = [plain, _weak(tmp_path / "one", "-O2", "-DTN_DSP=1"), _weak(tmp_path / "one", "-Os")]
    for i, build in enumerate(builds):  # code of different builds never goes by one name
        for other in builds[:i]:
            assert not build & other
    assert not _weak(tmp_path / "one", "-O2", "-DTN_UNSHARED")


def test_two_models_in_one_image_share_kernels(models: Path, tmp_path: Path) -> None:
    """One copy of every shared kernel, and the outputs of each model are as they are alone."""
    names = ("small_cnn", "kws")
    for name in names:
        compile_model(models / f"{name}.tflite", tmp_path / name, Options("host", name=name))
    calls = "".join(
        f"    for (int i = 0; i < {n.upper()}_INPUT_SIZE; i++)"
        f" {n}_input(arena)[i] = (int8_t)(i * 37 + 11);\n    {n}_run(arena);\n"
        f"    for (int i = 0; i < {n.upper()}_OUTPUT_SIZE; i++)"
        f' printf("%d ", {n}_output(arena)[i]);\n'
        for n in names
    )
    main = (
        "#include <stdio.h>\n"
        + "".join(f'#include "{n}/{n}.h"\n' for n in names)
        + "static uint8_t arena[SMALL_CNN_ARENA_SIZE > KWS_ARENA_SIZE ? SMALL_CNN_ARENA_SIZE"
        + " : KWS_ARENA_SIZE] SMALL_CNN_ARENA_ALIGN;\n"
        + f"int main(void) {{\n{calls}    return 0;\n}}\n"
    )
    (tmp_path / "main.c").write_text(main)
    said, sizes = [], []
    sources = ["main.c", *(f"{n}/{n}.c" for n in names)]
    for build in ("-UTN_UNSHARED", "-DTN_UNSHARED"):
        flags = ["-O2", build, "-ffunction-sections", "-Wl,--gc-sections"]
        _run(["gcc", *flags, *sources, "-o", "image"], tmp_path)
        said.append(_run(["./image"], tmp_path))
        symbols = [line.split()[-1] for line in _run(["nm", "image"], tmp_path).splitlines()]
        sizes.append(int(_run(["size", "image"], tmp_path).splitlines()[1].split()[0]))
        kernels = [s for s in symbols if s.startswith("tn_pointwise_conv_2d_s8_")]
        if build == "-DTN_UNSHARED":
            assert len(kernels) > len(set(kernels))
        else:
            assert kernels and len(kernels) == len(set(kernels))
    assert said[0] == said[1]
    assert sizes[0] < sizes[1]
    together = [*sources[1:], sources[0]]
    (tmp_path / "all.c").write_text("".join(f'#include "{source}"\n' for source in together))
    _run(["gcc", *STRICT_C, "-O2", "all.c", "-o", "image"], tmp_path)  # a unity build
    assert _run(["./image"], tmp_path) == said[0]


# ---- the build systems of others -----------------------------------------------------------------


def _manifest(compiled: dict[str, Path], **changes: str) -> Manifest:
    table = json.loads((compiled["whole"] / FILE_NAME).read_text())
    folder = compiled["whole"].parent / "changed"
    folder.mkdir(exist_ok=True)
    (folder / FILE_NAME).write_text(json.dumps({**table, **changes}))
    return read_manifest(folder)


def test_platformio_reads_and_packs_it(compiled: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("platformio")
    archive = tmp_path / "model.tar.gz"
    command = [sys.executable, "-m", "platformio", "pkg", "pack", compiled["whole"], "-o", archive]
    _run(command, tmp_path, PLATFORMIO_CORE_DIR=str(tmp_path / "core"), PLATFORMIO_NO_ANSI="1")
    listed = set(_run(["tar", "tzf", archive], tmp_path).split())
    assert {"small_cnn.c", "small_cnn.h", "library.json", "thumbnet/tn_core.h"} <= listed


def test_platformio_compiles_the_model_only(compiled: dict[str, Path]) -> None:
    table = json.loads((compiled["whole"] / "library.json").read_text())
    assert re.fullmatch(r"\d+\.\d+\.\d+\+[0-9a-f]{8}", table["version"])
    assert table["build"]["srcFilter"] == ["+<small_cnn.c>"]
    assert (table["build"]["srcDir"], table["build"]["includeDir"]) == (".", ".")
    assert "-O2" in table["build"]["flags"]  # and is not taken away again, as -Os is
    assert "-O2" not in table["build"]["unflags"]
    assert "-Os" in table["build"]["unflags"]


# The fields that the library specification of the Arduino CLI calls required, and its rules for
# names (letters, digits, spaces, _ . -, the first a letter or digit, at most 63) and categories.
ARDUINO_FIELDS = (
    "name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url",
    "architectures",
)  # fmt: skip
ARDUINO_CATEGORIES = (
    "Display", "Communication", "Signal Input/Output", "Sensors", "Device Control", "Timing",
    "Data Storage", "Data Processing", "Other",
)  # fmt: skip


@pytest.mark.parametrize("name", ["small_cnn", "_net", "arduino_net", "n" * 80])
def test_arduino_properties(compiled: dict[str, Path], name: str) -> None:
    text = packaging_files(_manifest(compiled, name=name))["library.properties"]
    pairs = [line.split("=", 1) for line in text.splitlines()]
    fields = dict(pairs)  # type: ignore[arg-type]
    assert len(fields) == len(pairs)
    assert all(fields.get(field) for field in ARDUINO_FIELDS)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}", fields["name"])
    assert not fields["name"].lower().startswith("arduino")
    assert re.fullmatch(r"\d+\.\d+\.\d+(\+[0-9A-Za-z.-]+)?", fields["version"])
    assert fields["category"] in ARDUINO_CATEGORIES
    assert fields["includes"] == f"{name}.h"


def test_arduino_layout(compiled: dict[str, Path]) -> None:
    """Without src/ what lies in the folder itself and in utility/ is compiled; nothing else is."""
    folder = compiled["whole"]
    assert not (folder / "src").exists()
    assert not (folder / "utility").exists()
    sources = [p.name for p in folder.iterdir() if p.suffix in (".c", ".cpp", ".S", ".ino")]
    assert sources == ["small_cnn.c"]


def test_zephyr_module(compiled: dict[str, Path]) -> None:
    """By Zephyr's scripts/schemas/module-schema.yaml: names and types of what is used here."""
    yaml = pytest.importorskip("yaml")
    folder = compiled["whole"]
    table = yaml.safe_load((folder / "zephyr" / "module.yml").read_text())
    assert table.keys() == {"name", "build"}
    assert re.fullmatch(r"\w+", table["name"])
    assert table["build"].keys() == {"cmake", "kconfig"}
    assert (folder / table["build"]["cmake"] / "CMakeLists.txt").is_file()
    assert (folder / table["build"]["kconfig"]).is_file()


def test_zephyr_kconfig(compiled: dict[str, Path], tmp_path: Path) -> None:
    """Two models' options beside each other, off unless they are asked for."""
    kconfiglib = pytest.importorskip("kconfiglib")
    for name in ("small_cnn", "Other2"):
        text = packaging_files(_manifest(compiled, name=name))["zephyr/Kconfig"]
        (tmp_path / name).write_text(text)
    (tmp_path / "Kconfig").write_text('source "small_cnn"\nsource "Other2"\n')
    (tmp_path / "prj.conf").write_text("CONFIG_THUMBNET_OTHER2=y\n")
    here = Path.cwd()
    os.chdir(tmp_path)
    try:
        kconfig = kconfiglib.Kconfig("Kconfig", warn_to_stderr=False)
        kconfig.load_config("prj.conf")
    finally:
        os.chdir(here)
    assert kconfig.warnings == []
    values = {name: symbol.str_value for name, symbol in kconfig.syms.items()}
    assert values["THUMBNET_OTHER2"] == "y"
    assert values["THUMBNET_SMALL_CNN"] == "n"


def test_the_optimisation_is_that_of_the_figures(models: Path, tmp_path: Path) -> None:
    compile_model(models / "small_cnn.tflite", tmp_path, Options("host", optimize="size"))
    for file in ("CMakeLists.txt", "library.json", "zephyr/CMakeLists.txt"):
        assert "-Os" in (tmp_path / file).read_text()
