"""The reference interpreter on models that may crash it: each runs in a forked process.

    python tests/isolated_reference.py LIST OUT

LIST: one line for each model, "MODEL.tflite<TAB>INPUTS.npz<TAB>OUTPUTS"; the arrays of call i are
named i_0, i_1... OUT gets N.npz for line N with the outputs named alike, or nothing where the
interpreter refused the model or died of it.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from thumbnet.tools.arrays import Array

SECONDS = 20


def save_calls(path: Path, calls: Sequence[Sequence[Array]]) -> None:
    np.savez(path, **{f"{i}_{j}": a for i, call in enumerate(calls) for j, a in enumerate(call)})


def load_calls(path: Path) -> list[list[Array]]:
    with np.load(path) as arrays:
        calls: list[list[Array]] = []
        for name in arrays.files:
            if int(name.split("_")[0]) == len(calls):
                calls.append([])
            calls[-1].append(arrays[name])
    return calls


def _run(model: Path, inputs: Path, outputs: int, result: Path) -> None:
    from tflite_builder import reference_calls

    answer = reference_calls(model.read_bytes(), load_calls(inputs), outputs)
    save_calls(result, answer)


def main(listing: Path, out: Path) -> None:
    from tflite_micro.python.tflite_micro import runtime  # noqa: F401  loaded once, before forking

    for number, line in enumerate(listing.read_text().splitlines()):
        model, inputs, outputs = line.split("\t")
        child = os.fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            signal.alarm(SECONDS)
            status = 1
            try:
                _run(Path(model), Path(inputs), int(outputs), out / f"{number}.npz")
                status = 0
            finally:
                os._exit(status)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
