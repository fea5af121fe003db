"""Answers to bad input: one line, a status, an object with --json; nothing written."""

from __future__ import annotations

import os
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import refusal_of, thumbnet
from sample_models import SAMPLES
from tflite_builder import Builder, Spec


def _float_only() -> Builder:
    b = Builder()
    x = b.input((1, 4), "float32", name="x")
    w = b.constant(np.ones((3, 4), np.float32), name="kernel")
    b.output(b.op("FULLY_CONNECTED", [x, w, -1], Spec((1, 3), "float32", name="dense"),
                  fused_activation_function="NONE"))
    return b


def _unsupported() -> Builder:
    b = Builder()
    x = b.input((1, 4), scale=0.1, name="x")
    y = b.op("COS", [x], Spec((1, 4), scale=0.1, name="wave"))
    y = b.op("RELU", [y], Spec((1, 4), scale=0.1, name="fine"))
    b.output(b.op("FLOOR", [y], Spec((1, 4), scale=0.1, name="whole")))
    return b


def _wide(width: int = 64) -> Builder:
    b = Builder()
    x = b.input((1, 64, width, 4), scale=0.05, name="x")
    w = b.constant(np.ones((8, 3, 3, 4), np.int8), 0.01)
    y = b.op("CONV_2D", [x, w, -1], Spec((1, 64, width, 8), scale=0.05, name="wide"),
             padding="SAME", stride_h=1, stride_w=1, dilation_h_factor=1, dilation_w_factor=1,
             fused_activation_function="RELU")
    axes = b.constant(np.array([1, 2], np.int32))
    b.output(b.op("MEAN", [y, axes], Spec((1, 8), scale=0.05), keep_dims=False))
    return b


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with good and bad files; commands run here, one after the other."""
    folder = tmp_path_factory.mktemp("a place, with spaces")
    models = {**SAMPLES, "float_only": _float_only, "unsupported": _unsupported, "wide": _wide}
    for name, make in models.items():
        (folder / f"{name}.tflite").write_bytes(make().build())
    (folder / "empty.tflite").touch()
    noise = np.random.default_rng(1).bytes(4000)
    (folder / "noise.tflite").write_bytes(noise)
    (folder / "marked.tflite").write_bytes(noise[:4] + b"TFL3" + noise[8:])
    good = (folder / "small_cnn.tflite").read_bytes()
    (folder / "cut.tflite").write_bytes(good[: len(good) // 2])
    (folder / "a_folder").mkdir()
    (folder / "broken").mkdir()
    (folder / "broken" / "manifest.json").write_text('{"name": 3}')
    (folder / "text.npy").write_text("1 2 3")
    np.savez(folder / "two.npz", a=np.zeros(3), b=np.zeros(3))
    frame = np.zeros((1, 1, 1, 6), np.int8)
    np.save(folder / "frame.npy", frame)
    np.save(folder / "frames.npy", np.zeros((4, 1, 1, 1, 6), np.int8))
    np.save(folder / "no_frames.npy", np.zeros((0, 1, 1, 1, 6), np.int8))
    np.save(folder / "wrong_shape.npy", frame.reshape(6, 1))
    np.save(folder / "int16.npy", frame.astype(np.int16))
    np.save(folder / "complex.npy", frame.astype(np.complex64))
    np.save(folder / "nan.npy", np.full(frame.shape, np.nan, np.float32))
    np.save(folder / "infinite.npy", np.full(frame.shape, np.inf, np.float32))
    np.save(folder / "image.npy", np.zeros((1, 4, 4, 6), np.int8))
    np.save(folder / "images.npy", np.zeros((2, 1, 4, 4, 6), np.int8))
    np.save(folder / "gains.npy", np.zeros((3, 1, 1, 1, 6), np.int8))
    data = (folder / "frame.npy").read_bytes()
    (folder / "cut.npy").write_bytes(data[:-2])
    return folder


MODELS = [
    ("absent.tflite", "model-format", "cannot read absent.tflite: No such file"),
    ("a_folder", "model-format", "a_folder is a directory"),
    ("empty.tflite", "model-format", "empty.tflite is empty"),
    ("noise.tflite", "model-format", "noise.tflite is not a TensorFlow Lite model"),
    ("marked.tflite", "model-format", "marked.tflite: the file is damaged"),
    ("cut.tflite", "model-format", "cut.tflite: the file is damaged"),
    ("float_only.tflite", "unsupported", "quantise the model to int8"),
    ("absent.pt2", "model-format", "cannot read absent.pt2: no such file"),
]


@pytest.mark.parametrize(("model", "kind", "text"), MODELS)
def test_bad_model(place: Path, model: str, kind: str, text: str) -> None:
    done = thumbnet(place, "compile", model, "-o", "out", "--json")
    assert refusal_of(done)[0] == kind
    assert text in refusal_of(done)[1]
    assert not (place / "out").exists()


def test_every_unsupported_operator_is_in_one_line(place: Path) -> None:
    _, message = refusal_of(thumbnet(place, "compile", "unsupported.tflite", "-o", "out", "--json"))
    for word in ("2 operator(s)", "COS", "'wave'", "FLOOR", "'whole'", "docs/operators.md"):
        assert word in message
    assert "RELU" not in message


OPTIONS = [
    (("--max-sram", "100"), "budget", ("SRAM", "more than --max-sram", "layer ", "would fit")),
    (("--max-flash", "1K"), "budget", ("flash", "more than --max-flash", "'t", "would fit")),
    (("--target", "z80"), "tool", ("unknown target 'z80'", "cortex-m4")),
    (("--name", "Wake Word"), "unsupported", ("'Wake Word'", "wake_word")),
]


@pytest.mark.parametrize(("words", "kind", "texts"), OPTIONS)
def test_bad_choice(
    place: Path, words: tuple[str, ...], kind: str, texts: tuple[str, ...], arm: None
) -> None:
    done = thumbnet(place, "compile", "small_cnn.tflite", "-o", "out", "--json", *words)
    assert refusal_of(done)[0] == kind
    assert all(text in refusal_of(done)[1] for text in texts), refusal_of(done)
    assert not (place / "out").exists()
    assert not list(place.glob(".thumbnet-*"))


USAGE = [
    ("compile", "small_cnn.tflite", "-o", "out", "--optimize", "speed"),
    ("compile", "small_cnn.tflite", "-o", "out", "--max-sram", "much"),
    ("compile", "small_cnn.tflite", "-o", "out", "--max-flash", "0"),
    ("compile", "small_cnn.tflite"),
    ("compile", "-o", "out"),
    ("compile", "small_cnn.tflite", "-o", "out", "--wings"),
    ("check", "small_cnn.tflite", "--calls", "0"),
    ("bench",),
    ("fly",),
]


@pytest.mark.parametrize("words", USAGE, ids=" ".join)
def test_wrong_usage_is_one_line_and_status_2(place: Path, words: tuple[str, ...]) -> None:
    kind, _ = refusal_of(thumbnet(place, *words, "--json"), 2)
    assert kind == "usage"
    assert not (place / "out").exists()


INPUTS = [
    (("absent.npy",), "cannot read absent.npy as a .npy array: No such file"),
    (("a_folder",), "cannot read a_folder as a .npy array"),
    (("text.npy",), "cannot read text.npy as a .npy array"),
    (("two.npz",), "cannot read two.npz as a .npy array"),
    (("cut.npy",), "cannot read cut.npy as a .npy array"),
    (("wrong_shape.npy",), "shape [6, 1]; input 'frame' takes [1, 1, 1, 6]"),
    (("no_frames.npy",), "shape [0, 1, 1, 1, 6]; input 'frame' takes [1, 1, 1, 6]"),
    (("int16.npy",), "type int16; input 'frame' takes int8 or float32"),
    (("complex.npy",), "type complex64; input 'frame' takes int8 or float32"),
    (("nan.npy",), "nan.npy holds NaN or infinity"),
    (("infinite.npy",), "infinite.npy holds NaN or infinity"),
    (("frame.npy", "frame.npy"), "the model has 1 inputs (frame); 2 were given"),
]


@pytest.mark.parametrize(("files", "text"), INPUTS)
def test_bad_input(place: Path, files: tuple[str, ...], text: str) -> None:
    words = [word for file in files for word in ("--input", file)]
    done = thumbnet(place, "run", "stateful.tflite", "--json", "--output", "y.npy", *words)
    assert refusal_of(done)[0] == "data"
    assert text in refusal_of(done)[1]
    assert not (place / "y.npy").exists()


@pytest.mark.parametrize("files", [("images.npy", "gains.npy"), ("image.npy", "gains.npy")])
def test_inputs_with_different_numbers_of_calls(place: Path, files: tuple[str, str]) -> None:
    words = [word for file in files for word in ("--input", file)]
    kind, message = refusal_of(thumbnet(place, "run", "two_inputs.tflite", "--json", *words))
    assert (kind, message) == ("data", "the inputs hold different numbers of calls")


def test_outputs_that_cannot_be_written(place: Path) -> None:
    before = set(place.iterdir())
    for path in ("a_folder", "absent/y.npy"):
        done = thumbnet(place, "run", "stateful.tflite", "--json", "--output", path)
        assert f"cannot write {path}" in refusal_of(done)[1]
    done = thumbnet(place, "run", "two_inputs.tflite", "--json", "--output", "y.npy")
    assert "the model has 2 outputs" in refusal_of(done)[1]
    assert set(place.iterdir()) - before <= {place / "build"}


@pytest.mark.parametrize("command", ["run", "check", "bench"])
def test_folder_that_compile_did_not_write(place: Path, command: str) -> None:
    for folder in ("a_folder", "broken"):
        kind, message = refusal_of(thumbnet(place, command, folder, "--json"))
        assert kind == "data"
        assert folder in message
        assert "compile" in message


def test_checking_a_folder_needs_its_model(place: Path) -> None:
    done = thumbnet(place, "compile", "float_edges.tflite", "-o", "made", "--target", "host")
    assert done.returncode == 0
    assert "--reference" in refusal_of(thumbnet(place, "check", "made", "--json"))[1]
    done = thumbnet(place, "check", "made", "--reference", "absent.tflite", "--json")
    assert "absent.tflite" in refusal_of(done)[1]
    done = thumbnet(place, "check", "made", "--reference", "float_edges.tflite", "--json")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["run", "check", "bench"])
@pytest.mark.parametrize("board", ["abacus", "sizing-cortex-m0"])
def test_unknown_board(place: Path, command: str, board: str) -> None:
    kind, message = refusal_of(thumbnet(place, command, "stateful.tflite", "--json", "--on", board))
    assert kind == "tool"
    assert f"'{board}'" in message
    assert "mps2-an386" in message


def test_model_too_big_for_the_board(place: Path, arm: None) -> None:
    done = thumbnet(place, "run", "wide.tflite", "--json", "--on", "microbit")
    kind, message = refusal_of(done)
    assert kind == "budget"
    layer = "layer 0 (CONV_2D, output 'wide')"
    for text in ("microbit", "(16384)", layer, "more than", "would fit"):
        assert text in message


def test_model_that_leaves_no_room_for_the_reserved_stack(place: Path, arm: None) -> None:
    (place / "tight.tflite").write_bytes(_wide(57).build())
    done = thumbnet(place, "run", "tight.tflite", "--json", "--on", "microbit")
    kind, message = refusal_of(done)
    assert kind == "budget"
    for text in ("short by", "reserved stack", "layer 0 (CONV_2D, output 'wide')", "choose"):
        assert text in message


# ---- tools that are missing ----------------------------------------------------------------------


def _path_without(folder: Path, *missing: str) -> str:
    """A PATH with links to all programs but some."""
    links = folder / f"bin without {missing[0]}"
    links.mkdir()
    for part in reversed(os.environ["PATH"].split(os.pathsep)):
        for program in Path(part).glob("*") if Path(part).is_dir() else ():
            if not any(word in program.name for word in missing):
                link = links / program.name
                link.unlink(missing_ok=True)
                link.symlink_to(program)
    return str(links)


@pytest.mark.parametrize("how", ["THUMBNET_ARM_GCC", "PATH"])
def test_without_the_arm_compiler(place: Path, tmp_path: Path, how: str) -> None:
    env = {how: "/no/such/gcc" if how != "PATH" else _path_without(tmp_path, "arm-none-eabi")}
    done = thumbnet(place, "compile", "stateful.tflite", "-o", tmp_path / "out", "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert '"stack_bytes": null' in done.stdout
    assert '"code": null' in done.stdout
    assert '"total": null' in done.stdout
    assert "#define STATEFUL_STACK_SIZE" not in (tmp_path / "out" / "stateful.h").read_text()
    assert thumbnet(place, "run", tmp_path / "out", env=env).returncode == 0
    done = thumbnet(place, "run", "stateful.tflite", "--json", "--on", "mps2-an386", env=env)
    kind, message = refusal_of(done)
    assert kind == "tool"
    assert "/no/such/gcc" in message if how != "PATH" else "apt-get install" in message


@pytest.mark.parametrize("how", ["THUMBNET_QEMU", "PATH"])
def test_without_the_emulator(place: Path, tmp_path: Path, arm: None, how: str) -> None:
    env = {how: "/no/such/qemu" if how != "PATH" else _path_without(tmp_path, "qemu-system")}
    done = thumbnet(place, "run", "stateful.tflite", "--json", "--on", "mps2-an386", env=env)
    kind, message = refusal_of(done)
    assert kind == "tool"
    assert "/no/such/qemu" in message if how != "PATH" else "qemu-system-arm is missing" in message


def test_without_a_host_compiler(place: Path) -> None:
    env = {"THUMBNET_CC": "/no/such/cc"}
    kind, message = refusal_of(thumbnet(place, "run", "stateful.tflite", "--json", env=env))
    assert kind == "tool"
    assert "/no/such/cc" in message


# ---- folders that cannot be written --------------------------------------------------------------


def test_output_folder_is_a_file(place: Path) -> None:
    for out in ("frame.npy", "frame.npy/below"):
        done = thumbnet(place, "compile", "stateful.tflite", "-o", out, "--json")
        assert refusal_of(done)[0] == "tool"
        assert "frame.npy" in refusal_of(done)[1]


def test_output_folder_is_read_only(place: Path, tmp_path: Path) -> None:
    """Root may write into any folder but those of the kernel."""
    tmp_path.chmod(0o500)
    folder = Path("/proc") if os.geteuid() == 0 else tmp_path
    done = thumbnet(place, "compile", "stateful.tflite", "-o", folder / "out", "--json")
    assert "cannot write" in refusal_of(done)[1]


@pytest.mark.parametrize("existing", [False, True])
def test_disk_that_fills_up_leaves_the_folder_as_it_was(
    place: Path, tmp_path: Path, existing: bool
) -> None:
    """A limit on the size of files fails the writes halfway, as a full disk does."""
    out = tmp_path / "out"
    if existing:
        words = ("compile", "small_cnn.tflite", "-o", out, "--target", "host")
        assert thumbnet(place, *words).returncode == 0
    before = {f: f.read_bytes() for f in out.rglob("*") if f.is_file()}
    done = thumbnet(
        place, "compile", "residual.tflite", "-o", out, "--target", "host", "--json",
        before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000)),
    )  # fmt: skip
    kind, message = refusal_of(done)
    assert kind == "tool"
    assert "cannot write" in message
    assert {f: f.read_bytes() for f in out.rglob("*") if f.is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["out"] * existing


def test_compiling_again_leaves_no_old_files(place: Path, tmp_path: Path) -> None:
    for model in ("small_cnn", "float_edges"):
        words = ("compile", f"{model}.tflite", "-o", tmp_path / "out", "--target", "host")
        assert thumbnet(place, *words).returncode == 0
    words = ("compile", "float_edges.tflite", "-o", tmp_path / "fresh", "--target", "host")
    assert thumbnet(place, *words).returncode == 0
    names = [
        sorted(str(p.relative_to(tmp_path / d)) for p in (tmp_path / d).rglob("*") if p.is_file())
        for d in ("out", "fresh")
    ]
    assert names[0] == names[1]
    shutil.rmtree(tmp_path)
