"""The reference interpreter: TFLM's own kernels, from the `tflite-micro` package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.errors import ToolError

Arrays = Sequence[NDArray[Any]]


def reference_outputs(
    model: Path, calls: Sequence[Arrays], outputs: int
) -> list[list[NDArray[Any]]]:
    """Runs a .tflite on each call's inputs, in order, state carried over from call to call.

    Inputs have the dtype and shape that the file states. Raises ToolError when the package is
    absent or refuses the model.
    """
    try:
        from tflite_micro.python.tflite_micro import runtime
    except ImportError as error:
        raise ToolError(
            "comparing needs the reference interpreter: pip install 'thumbnet[check]'"
        ) from error
    try:
        interpreter = runtime.Interpreter.from_bytes(model.read_bytes())
        results = []
        for arrays in calls:
            for i, array in enumerate(arrays):
                interpreter.set_input(array, i)
            interpreter.invoke()
            results.append([np.array(interpreter.get_output(i)) for i in range(outputs)])
        return results
    except (RuntimeError, ValueError) as error:
        raise ToolError(f"{model}: the reference interpreter refused it: {error}") from error
