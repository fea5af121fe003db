"""Passes against the reference interpreter: the same bytes from a simpler graph."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from tflite_builder import Builder, Spec, reference

from thumbnet.codegen.compile import Options, compile_model
from thumbnet.codegen.toolchain import host_library


@pytest.mark.parametrize("scale", [0.05, 0.1])
@pytest.mark.parametrize("keep_dims", [False, True])
@pytest.mark.parametrize(
    ("axes", "shape"), [((2,), (1, 6, 4)), ((2, 3), (1, 6)), ((1,), (1, 5, 4)), ((3,), (1, 6, 5))]
)
def test_reductions_go_before_transposes(
    axes: tuple[int, ...],
    shape: tuple[int, ...],
    keep_dims: bool,
    scale: float,
    tmp_path: Path,
    work_dir: Path,
) -> None:
    """Unless the transposition gives its bytes another meaning, which the reference lets it."""
    b = Builder()
    x = b.input((1, 5, 4, 6), scale=0.05, zero_point=3)
    permutation = b.constant(np.array([0, 3, 1, 2], np.int32))
    turned = b.op("TRANSPOSE", [x, permutation], Spec((1, 6, 5, 4), scale=scale, zero_point=3))
    full = [1, 6, 5, 4]
    if keep_dims:
        shape = tuple(1 if i in axes else n for i, n in enumerate(full))
    reduced = b.constant(np.array(axes, np.int32))
    y = b.op("MEAN", [turned, reduced], Spec(shape, scale=0.04, zero_point=-5), keep_dims=keep_dims)
    b.output(y)
    path = tmp_path / "net.tflite"
    path.write_bytes(b.build())
    compiled = compile_model(path, tmp_path / "out", Options(target="host"))
    kinds = [kernel.kind for kernel in compiled.schedule.kernels]
    assert kinds[0] == ("MEAN" if scale == 0.05 else "TRANSPOSE")
    assert axes != (2, 3) or scale != 0.05 or kinds == ["MEAN"]
    values = np.random.default_rng(0).integers(-128, 128, (1, 5, 4, 6), dtype=np.int8)
    library = ctypes.CDLL(str(host_library(compiled.folder, work_dir)))
    arena = (ctypes.c_uint64 * (compiled.schedule.arena_bytes // 8 + 2))()
    base = ctypes.addressof(arena)
    source = compiled.schedule.storage(compiled.schedule.graph.inputs[0])
    ctypes.memmove(base + source.offset, values.tobytes(), values.nbytes)
    library.net_run(arena)
    output = compiled.schedule.storage(compiled.schedule.graph.outputs[0])
    (expected,) = reference(path.read_bytes(), [values], 1)
    assert ctypes.string_at(base + output.offset, expected.nbytes) == expected.tobytes()
