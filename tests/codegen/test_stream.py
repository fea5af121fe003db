"""Streams: the newest rows in, exactly the outputs of the whole-window network on the window."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from command_line import thumbnet
from sanitized import build_program, run_program
from streaming_networks import TimeNet, keyword_network, random_network
from tflite_builder import Array, reference_calls

from thumbnet.codegen.checker import check_schedule
from thumbnet.codegen.compile import Options, compile_model, load_graph
from thumbnet.codegen.errors import ScheduleError, UnsupportedError
from thumbnet.codegen.graph import Graph
from thumbnet.codegen.manifest import read_manifest
from thumbnet.codegen.planner import plan
from thumbnet.codegen.stream import stream
from thumbnet.tools.arrays import random_calls
from thumbnet.tools.comparison import (
    calls_to_fill,
    check_model,
    windows,
)
from thumbnet.tools.session import open_session, place_named, run_calls


def _graph(net: TimeNet, output: int, folder: Path) -> Graph:
    net.model.output(output)
    path = folder / "net.tflite"
    path.write_bytes(net.model.build())
    return load_graph(path)


def _agree(model: Path, mode: str, more: int = 12) -> int:
    """Every call equals the whole-window network, those before the window is full included.

    Gives how many different outputs there were.
    """
    session = open_session(model, place_named("host"), Options(input=mode))
    manifest = session.manifest
    calls = random_calls(manifest.inputs, calls_to_fill(manifest) + more)
    expected = reference_calls(model.read_bytes(), windows(manifest, calls))
    for number, (ours, theirs) in enumerate(
        zip(run_calls(session, calls).outputs, expected, strict=True)
    ):
        np.testing.assert_array_equal(ours[0], theirs[0], f"call {number}")
    return len({call[0].tobytes() for call in expected})


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("seed", range(6))
def test_random_networks(tmp_path: Path, seed: int, stride: int) -> None:
    model = tmp_path / f"net{seed}.tflite"
    model.write_bytes(random_network(seed, stride))
    mode = "stream" if seed % 2 else f"stream:{stride * (1 + seed % 3)}"
    assert _agree(model, mode) > 2


@pytest.mark.slow
@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("seed", range(100, 200))
def test_many_random_networks(tmp_path: Path, seed: int, stride: int) -> None:
    model = tmp_path / f"net{seed}.tflite"
    model.write_bytes(random_network(seed, stride))
    _agree(model, f"stream:{stride * (1 + seed % 3)}")


def test_fewest_rows_are_the_strides(tmp_path: Path) -> None:
    for stride in (1, 2, 4):
        model = tmp_path / "net.tflite"
        model.write_bytes(random_network(3, stride))
        graph = stream(load_graph(model))
        assert graph.tensors[graph.inputs[0]].shape[1] == stride


def test_keyword_network(qemu: None, tmp_path: Path) -> None:
    """On the host and the emulated board; the arena is the state and one window of the largest."""
    model = tmp_path / "keywords.tflite"
    model.write_bytes(keyword_network())
    graph = stream(load_graph(model))
    states = sum(graph.tensors[s.tensor].nbytes for s in graph.states)
    largest = max(graph.tensors[s.tensor].nbytes for s in graph.states)
    assert plan(graph).arena_bytes < states + 1.25 * largest
    assert graph.macs < load_graph(model).macs / 25
    session = open_session(model, place_named("mps2-an386"), Options(input="stream"))
    assert check_model(session, model, 60).equal
    _agree(model, "stream")
    _agree(model, "stream:4")


def test_under_sanitizers(tmp_path: Path) -> None:
    """NAME_init, which runs the model, reads nothing that it has not written."""
    folders = []
    for seed in (1, 4, 6):
        model = tmp_path / f"net{seed}.tflite"
        model.write_bytes(random_network(seed))
        folders.append(tmp_path / f"net{seed}")
        compile_model(model, folders[-1], Options("host", input="stream", stepper=seed == 4))
    program = build_program(folders, tmp_path / "work")
    for number, folder in enumerate(folders):
        manifest = read_manifest(folder)
        calls = random_calls(manifest.inputs, 20)
        model = tmp_path / f"{folder.name}.tflite"
        expected = reference_calls(model.read_bytes(), windows(manifest, calls))
        for ours, theirs in zip(
            run_program(program, number, manifest, calls), expected, strict=True
        ):
            np.testing.assert_array_equal(ours[0], theirs[0])


def test_an_output_that_moves_is_given_whole(tmp_path: Path) -> None:
    net = TimeNet(5)
    x = net.model.input((1, 20, 1, 4), "int8", 0.05, 3)
    graph = _graph(net, net.conv(x, 3, 3), tmp_path)
    streamed = stream(graph)
    assert streamed.tensors[streamed.outputs[0]].shape == (1, 18, 1, 3)
    _agree(tmp_path / "net.tflite", "stream")


def test_input_rows_that_nothing_reads(tmp_path: Path) -> None:
    """Of two new rows only one is read; the other must not overwrite state."""
    net = TimeNet(12)
    x = net.model.input((1, 37, 1, 8), "int8", 0.05, 5)
    x = net.conv(net.conv(x, 6, 1, stride=2), 6, 3)
    graph = stream(_graph(net, net.softmax(net.mean(x, 1, 2)), tmp_path))
    schedule = plan(graph)
    check_schedule(schedule)
    _agree(tmp_path / "net.tflite", "stream")
    state, source = graph.states[0].tensor, schedule.storage(graph.inputs[0])
    moved = replace(schedule.storage(state), offset=source.offset)
    with pytest.raises(ScheduleError, match="before the first step"):
        check_schedule(replace(schedule, storages={**schedule.storages, state: moved}))


# ---- refusals ------------------------------------------------------------------------------------


def _refused(net: TimeNet, output: int, folder: Path, rows: int | None = None) -> str:
    with pytest.raises(UnsupportedError) as caught:
        stream(_graph(net, output, folder), rows)
    return str(caught.value)


def test_padding_along_time(tmp_path: Path) -> None:
    net = TimeNet(1)
    x = net.model.input((1, 20, 1, 4), "int8", 0.05, 3)
    weights, bias = net._weights((4, 3, 1, 4), 4, 0)
    y = net.model.op(
        "CONV_2D", [x, weights, bias], net.spec((1, 20, 1, 4)), stride_h=1, stride_w=1,
        padding="SAME", fused_activation_function="NONE",
    )  # fmt: skip
    text = _refused(net, net.mean(y, 1, 2), tmp_path)
    assert "CONV_2D 't3'" in text and "pads along time (1 rows before, 1 after)" in text


def test_rows_that_are_no_multiple_of_a_stride(tmp_path: Path) -> None:
    net = TimeNet(1)
    x = net.pool(net.model.input((1, 20, 1, 4), "int8", 0.05, 3), "MAX_POOL_2D", 2, 2)
    text = _refused(net, net.mean(x, 1, 2), tmp_path, 3)
    assert "MAX_POOL_2D 't1'" in text and "a multiple of 2 rows" in text


def test_rows_that_need_the_whole_window(tmp_path: Path) -> None:
    """Squeeze-and-excite over time: each row depends on all."""
    net = TimeNet(1)
    x = net.model.input((1, 20, 1, 4), "int8", 0.05, 3)
    gate = net.reshape(net.mean(x, 1, 2), (1, 1, 1, 4))
    y = net.model.op("MUL", [x, gate], net.spec((1, 20, 1, 4)), fused_activation_function="NONE")
    assert "MUL 't5'" in _refused(net, net.mean(y, 1, 2), tmp_path)


def test_a_constant_that_differs_over_time(tmp_path: Path) -> None:
    net = TimeNet(1)
    x = net.model.input((1, 20, 1, 4), "int8", 0.05, 3)
    values = np.arange(80, dtype=np.int8).reshape(1, 20, 1, 4)
    y = net.add(x, net.model.constant(values, 0.05))
    assert "differs from row to row" in _refused(net, net.mean(y, 1, 2), tmp_path)


def test_branches_of_different_rate(tmp_path: Path) -> None:
    net = TimeNet(1)
    x = net.model.input((1, 20, 1, 4), "int8", 0.05, 3)
    slow = net.pool(x, "MAX_POOL_2D", 1, 2)
    y = net.add(slow, net.crop(x, 0, 10))
    assert "at different rates" in _refused(net, net.mean(y, 1, 2), tmp_path, 2)


def test_operators_across_time(tmp_path: Path) -> None:
    net = TimeNet(1)
    x = net.model.input((1, 8, 1, 4), "int8", 0.05, 3)
    size = net.integers(16, 1)
    y = net.model.op(
        "RESIZE_NEAREST_NEIGHBOR", [x, size], net.like(x, (1, 16, 1, 4)),
        align_corners=False, half_pixel_centers=False,
    )  # fmt: skip
    assert "RESIZE_NEAREST_NEIGHBOR" in _refused(net, net.mean(y, 1, 2), tmp_path)


def test_windows_and_inputs(tmp_path: Path) -> None:
    net = TimeNet(1)
    x = net.model.input((1, 8, 1, 4), "int8", 0.05, 3)
    graph = _graph(net, net.mean(x, 1, 2), tmp_path)
    with pytest.raises(UnsupportedError, match="give 1 to 7"):
        stream(graph, 8)
    with pytest.raises(UnsupportedError, match="keeps state between calls already"):
        stream(stream(graph))
    flat = TimeNet(1)
    x = flat.model.input((1, 8), "int8", 0.05, 3)
    with pytest.raises(UnsupportedError, match=r"this one is \[1, 8\]"):
        stream(_graph(flat, flat.softmax(x), tmp_path))
    two = TimeNet(1)
    sides = [two.model.input((1, 8, 1, 4), "int8", 0.05, 3) for _ in range(2)]
    with pytest.raises(UnsupportedError, match="this one has 2"):
        stream(_graph(two, two.add(*sides), tmp_path))


# ---- the command -----------------------------------------------------------------------------


def test_commands_take_stream(tmp_path: Path) -> None:
    model, array = tmp_path / "keywords.tflite", tmp_path / "rows.npy"
    model.write_bytes(keyword_network())
    rows: Array = np.random.default_rng(1).integers(-128, 128, (3, 1, 1, 1, 40), dtype=np.int8)
    np.save(array, rows)
    done = thumbnet(tmp_path, "check", model, "--input", "stream", "--json")
    (result,) = json.loads(done.stdout)["results"]
    assert result["equal"] and result["calls"] > 49
    out = tmp_path / "out.npy"
    done = thumbnet(tmp_path, "run", model, "--input", "stream", "--input", array, "--output", out)
    assert done.returncode == 0, done.stderr
    assert np.load(out).shape == (3, 1, 12)
    cost = json.loads(thumbnet(tmp_path, "cost", model, "--input", "stream:2", "--json").stdout)
    whole = json.loads(thumbnet(tmp_path, "cost", model, "--json").stdout)
    assert cost["macs"] < whole["macs"] / 10 and cost["arena_bytes"] > 0
    folder = tmp_path / "c"
    assert thumbnet(tmp_path, "compile", model, "-o", folder, "--input", "stream").returncode == 0
    assert "window of the last 49 rows" in (folder / "keywords.h").read_text()
    done = thumbnet(tmp_path, "check", folder, "--reference", model, "--json")
    assert json.loads(done.stdout)["results"][0]["equal"]


@pytest.mark.parametrize("mode", ["stream:0", "stream:x", "streams", "stream:"])
def test_other_words_are_wrong_usage(tmp_path: Path, mode: str) -> None:
    model = tmp_path / "keywords.tflite"
    model.write_bytes(keyword_network())
    done = thumbnet(tmp_path, "cost", model, "--input", mode)
    assert done.returncode == 2 and "stream:ROWS" in done.stderr
