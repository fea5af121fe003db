"""What every command prints with --json, and how it treats arrays of several calls."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import refusal_of, result_of, thumbnet
from sample_models import SAMPLES

FLASH = {"code", "weights", "total"}
RUN = {
    "model", "target", "on", "macs", "instructions", "cycles", "arena_bytes", "stack_bytes", "flash"
}  # fmt: skip
COMPILE = (RUN - {"on", "instructions", "cycles"}) | {"files", "forms"}
LAYER = {"name", "op", "form", "macs", "instructions", "cycles"}
FRAMES = 5


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the samples, where the commands run."""
    folder = tmp_path_factory.mktemp("place")
    for name, make in SAMPLES.items():
        (folder / f"{name}.tflite").write_bytes(make().build())
    return folder


def test_compile(place: Path, arm: None) -> None:
    result = result_of(thumbnet(place, "compile", "small_cnn.tflite", "-o", "out", "--json"))
    assert result.keys() >= COMPILE
    assert (result["model"], result["target"]) == ("small_cnn", "cortex-m4")
    # 5 x 4 x (8 x 27) + 5 x 4 x (8 x 9) + 5 x 4 x (12 x 8) + 48 x 5
    assert result["macs"] == 7920
    assert result["flash"].keys() == FLASH
    assert result["flash"]["total"] == result["flash"]["code"] + result["flash"]["weights"]
    written = {str(p.relative_to(place / "out")) for p in (place / "out").rglob("*") if p.is_file()}
    assert set(result["files"]) == written
    own = {"small_cnn.c", "small_cnn.h", "manifest.json", "report.html", "CMakeLists.txt"}
    assert own <= written


def test_compile_for_the_host(place: Path) -> None:
    words = ("compile", "residual.tflite", "-o", "host", "--target", "host", "--name", "net")
    result = result_of(thumbnet(place, *words, "--json"))
    assert result.keys() >= COMPILE
    assert result["stack_bytes"] is None
    assert (result["flash"]["code"], result["flash"]["total"]) == (None, None)
    assert (place / "host" / "net.c").exists()


def test_cost_takes_the_choices_of_compile(place: Path) -> None:
    words = ("residual.tflite", "--target", "host", "--json")
    whole = result_of(thumbnet(place, "cost", *words))
    for choices in (("--stepper",), ("--max-step-cycles", "20000"), ("--input", "rows")):
        told = result_of(thumbnet(place, "cost", *words, *choices))
        made = result_of(thumbnet(place, "compile", *words, *choices, "-o", "steps"))
        assert told["arena_bytes"] == made["arena_bytes"] != whole["arena_bytes"]
    for choice, limit in (("--max-sram", "arena"), ("--max-flash", "flash")):
        kind, message = refusal_of(thumbnet(place, "cost", *words, choice, "64"))
        assert kind == "budget" and limit in message and choice in message
    enough = ("--max-sram", whole["arena_bytes"], "--max-flash", whole["flash"]["weights"])
    assert result_of(thumbnet(place, "cost", *words, *enough)) == whole


def test_run_on_the_host(place: Path) -> None:
    result = result_of(thumbnet(place, "run", "residual.tflite", "--json"))
    assert result.keys() >= RUN
    assert "layers" not in result
    for key in ("instructions", "cycles", "stack_bytes"):
        assert result[key] is None
    assert result["on"] == "host"


def test_run_on_a_board_with_profile(place: Path, qemu: None) -> None:
    words = ("run", "small_cnn.tflite", "--on", "mps2-an386", "--profile", "--json")
    result = result_of(thumbnet(place, *words))
    assert result.keys() >= RUN | {"layers"}
    assert result["flash"].keys() == FLASH
    for key in ("macs", "instructions", "cycles", "arena_bytes", "stack_bytes"):
        assert isinstance(result[key], int)
    assert all(layer.keys() == LAYER for layer in result["layers"])
    for key in ("macs", "instructions", "cycles"):
        total = sum(layer[key] for layer in result["layers"])
        assert total == result[key] if key == "macs" else 0 < total <= result[key]
    assert {"CONV_2D", "DEPTHWISE_CONV_2D"} <= {layer["op"] for layer in result["layers"]}


def test_run_of_a_compiled_folder(place: Path, qemu: None) -> None:
    assert thumbnet(place, "compile", "branches.tflite", "-o", "branches").returncode == 0
    results = [
        result_of(thumbnet(place, "run", model, "--on", "mps2-an386", "--json"))
        for model in ("branches", "branches.tflite")
    ]
    assert results[0] == results[1]


def test_check(place: Path) -> None:
    done = thumbnet(place, "check", "stateful.tflite", "float_edges.tflite", "--json")
    rows = result_of(done)["results"]
    assert rows == [
        {"model": name, "on": "host", "equal": True, "calls": calls, "max_difference": 0.0}
        for name, calls in (("stateful", 50), ("float_edges", 24))
    ]


def test_check_that_finds_a_difference(place: Path) -> None:
    """A compiled folder against another model of the same shape."""
    words = ("compile", "float_edges.tflite", "-o", "mine", "--target", "host")
    assert thumbnet(place, *words).returncode == 0
    other = SAMPLES["float_edges"]()
    weights = next(i for i, data in enumerate(other.data) if data is not None and data.ndim == 2)
    data = other.data[weights]
    assert data is not None
    other.data[weights] = -data
    (place / "other.tflite").write_bytes(other.build())
    done = thumbnet(place, "check", "mine", "--reference", "other.tflite", "--json")
    assert done.returncode == 1
    (row,) = json.loads(done.stdout)["results"]
    assert row.keys() == {"model", "on", "equal", "calls", "max_difference"}
    assert row["equal"] is False
    assert row["max_difference"] > 0
    assert len(done.stderr.splitlines()) == 1
    assert "float_edges on host" in done.stderr


def test_bench(place: Path, qemu: None) -> None:
    words = ("bench", "small_cnn.tflite", "uint8_edges.tflite", "--on", "mps2-an386")
    rows = result_of(thumbnet(place, *words, "--json"))["results"]
    assert [row["model"] for row in rows] == ["small_cnn", "uint8_edges"]
    for row in rows:
        assert row.keys() >= RUN
        assert row["flash"].keys() == FLASH
        assert row["cycles"] > row["instructions"] > row["macs"] // 2


def test_boards(place: Path) -> None:
    rows = result_of(thumbnet(place, "boards", "--json"))["boards"]
    names = {row["name"] for row in rows}
    assert {"mps2-an386", "mps2-an500", "mps2-an505", "microbit"} <= names
    assert not any("sizing" in name for name in names)
    for row in rows:
        assert row.keys() == {"name", "target", "sram", "flash", "emulated"}
        assert isinstance(row["emulated"], bool)


# ---- arrays ------------------------------------------------------------------------------------


def test_leading_axis_is_calls_and_state_carries_over(place: Path) -> None:
    frames = np.random.default_rng(3).integers(-128, 128, (FRAMES, 1, 1, 1, 6)).astype(np.int8)
    np.save(place / "frames.npy", frames)
    np.save(place / "frame.npy", frames[0])
    for name in ("frames", "frame"):
        words = ("run", "stateful.tflite", "--input", f"{name}.npy", "--output", f"{name}-y.npy")
        assert thumbnet(place, *words).returncode == 0
    many, one = (np.load(place / f"{name}-y.npy") for name in ("frames", "frame"))
    assert (many.shape, one.shape) == ((FRAMES, 1, 4), (1, 4))
    np.testing.assert_array_equal(many[0], one)
    assert len({call.tobytes() for call in many}) > 1


def test_floats_are_quantised_and_float_outputs_come_back(place: Path) -> None:
    """Half away from zero, saturated; integers pass through."""
    real = np.linspace(-9, 9, 12, dtype=np.float32).reshape(1, 12)
    scaled = real / np.float32(0.05)
    whole = np.sign(scaled) * np.floor(np.abs(scaled) + 0.5)
    np.save(place / "real.npy", real)
    np.save(place / "double.npy", real.astype(np.float64))
    np.save(place / "whole.npy", np.clip(whole - 3, -128, 127).astype(np.int8))
    results = []
    for name in ("real", "double", "whole"):
        words = ("run", "float_edges.tflite", "--input", f"{name}.npy", "--output", "y.npy")
        assert thumbnet(place, *words).returncode == 0
        results.append(np.load(place / "y.npy"))
        assert results[-1].dtype == np.float32
        np.testing.assert_array_equal(results[-1], results[0])


def test_several_inputs_and_outputs(place: Path) -> None:
    np.save(place / "image.npy", np.ones((1, 4, 4, 6), np.int8))
    np.save(place / "gain.npy", np.full((1, 1, 1, 6), 7, np.int8))
    inputs = ("--input", "image.npy", "--input", "gain.npy")
    outputs = ("--output", "a.npy", "--output", "b.npy")
    assert thumbnet(place, "run", "two_inputs.tflite", *inputs, *outputs).returncode == 0
    assert np.load(place / "a.npy").shape == (1, 4, 4, 6)
    assert np.load(place / "b.npy").shape == (1, 4)


def test_names_that_would_hide_a_header(place: Path) -> None:
    (place / "string.tflite").write_bytes((place / "small_cnn.tflite").read_bytes())
    done = thumbnet(place, "compile", "string.tflite", "-o", "string", "--json")
    assert "string_model.h" in json.loads(done.stdout)["files"]
    done = thumbnet(place, "compile", "string.tflite", "-o", "no", "--name", "stdint")
    assert done.returncode == 1 and "would hide the header <stdint.h>" in done.stderr
    done = thumbnet(place, "compile", "string.tflite", "-o", "Mixed", "--name", "MixedCase")
    assert done.returncode == 0 and (place / "Mixed" / "MixedCase.h").is_file()
