"""The reference interpreter: TFLM's own kernels, from the `tflite-micro` package.

It runs in a process of its own, because it ends the process on some models.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.errors import ToolError

Arrays = Sequence[NDArray[Any]]
_ARENA_BYTES = 1 << 26


def reference_outputs(
    model: Path, calls: Sequence[Arrays], outputs: int
) -> list[list[NDArray[Any]]]:
    """Runs a .tflite on each call's inputs, in order, state carried over from call to call.

    Inputs have the dtype and shape that the file states. Raises ToolError when the package is
    absent, refuses the model or crashes on it.
    """
    if find_spec("tflite_micro") is None:
        raise ToolError("comparing needs the reference interpreter: pip install 'thumbnet[check]'")
    arguments = (model.read_bytes(), [list(call) for call in calls], outputs)
    with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_run, *arguments).result()
        except _RefusedError as error:
            raise ToolError(f"{model}: the reference interpreter refused it: {error}") from error
        except BrokenProcessPool as error:
            raise ToolError(
                f"{model}: the reference interpreter crashed on it; there is nothing to compare to"
            ) from error


class _RefusedError(Exception):
    pass


def _run(model: bytes, calls: Sequence[Arrays], outputs: int) -> list[list[NDArray[Any]]]:
    from tflite_micro.python.tflite_micro import runtime

    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)  # what the C++ code prints becomes part of the refusal
        try:
            interpreter = runtime.Interpreter.from_bytes(model, arena_size=_ARENA_BYTES)
            results = []
            for arrays in calls:
                for i, array in enumerate(arrays):
                    interpreter.set_input(array, i)
                interpreter.invoke()
                results.append([np.array(interpreter.get_output(i)) for i in range(outputs)])
            return results
        except (RuntimeError, ValueError) as error:
            said.seek(0)
            text = " ".join(said.read().decode("utf-8", "replace").split())
            raise _RefusedError(f"{error} {text}".strip()) from None
