"""Small .tflite models made by hand, and the bytes that the tflite-micro wheel computes for them.

    b = Builder()
    x = b.input((1, 4, 4, 8), scale=0.1, zero_point=-3)
    c = b.constant(np.ones((8,), np.int8), scale=0.5)
    y = b.op("ADD", [x, c], Spec((1, 4, 4, 8), scale=0.2), fused_activation_function="RELU")
    b.output(y)
    outputs = reference(b.build(), [np.zeros((1, 4, 4, 8), np.int8)])

The builder is that of `codegen/frontends/tflite_builder.py`; here it also gives, by `graph()`, the
same model as a codegen Graph, as far as the `attributes` given to `op` describe it.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.frontends import tflite_builder
from thumbnet.codegen.frontends.tflite_builder import OperatorRecord, Spec
from thumbnet.codegen.graph import Attributes, Graph, Operator, Quantization, Tensor

Array = NDArray[Any]


@dataclass
class _Operator(OperatorRecord):
    attributes: Attributes
    operands: int | None
    graph_kind: str


@dataclass
class Builder(tflite_builder.Builder):
    """A model whose main subgraph `graph` gives as a codegen Graph."""

    def ops(
        self,
        kind: str,
        inputs: Sequence[int],
        outputs: Sequence[Spec],
        *,
        attributes: Attributes | None = None,
        operands: int | None = None,
        graph_kind: str = "",
        **options: Any,
    ) -> list[int]:
        """`attributes`, `operands` (how many leading inputs stay operands) and `graph_kind` only
        matter to `graph()`."""
        made = super().ops(kind, inputs, outputs, **options)
        record = self.operators[-1]
        self.operators[-1] = _Operator(
            **vars(record),
            attributes=attributes or Attributes(),
            operands=operands,
            graph_kind=graph_kind or kind,
        )
        return made

    def graph(self, name: str = "model") -> Graph:
        """The main subgraph as a codegen Graph; operators keep the attributes given to `op`."""
        names = [spec.name or f"t{index}" for index, spec in enumerate(self.specs)]
        tensors = {
            names[i]: Tensor(
                names[i],
                spec.shape,
                spec.dtype,
                _quantization(spec),
                self.data[i],
            )
            for i, spec in enumerate(self.specs)
        }
        operators = tuple(
            Operator(
                f"{op.graph_kind.lower()}_{index}",
                op.graph_kind,
                tuple(names[i] if i >= 0 else "" for i in op.inputs[: op.operands]),
                tuple(names[i] for i in op.outputs),
                op.attributes,
            )
            for index, op in enumerate(self.operators)
            if isinstance(op, _Operator)
        )
        return Graph(
            name,
            f"{name}.tflite",
            tensors,
            operators,
            tuple(names[i] for i in self.inputs),
            tuple(names[i] for i in self.outputs),
        )


def _quantization(spec: Spec) -> Quantization | None:
    if spec.scale is None:
        return None
    scale = np.atleast_1d(np.asarray(spec.scale, np.float32))
    zero_point = np.atleast_1d(np.asarray(spec.zero_point, np.int64))
    return Quantization(scale, np.broadcast_to(zero_point, scale.shape).copy(), spec.axis)


class Refused(Exception):
    """The reference interpreter does not accept the model; the text is what it printed."""


@contextlib.contextmanager
def _captured_stderr(text: list[str]) -> Iterator[None]:
    """Collects what C code prints to file descriptor 2 while the block runs."""
    saved = os.dup(2)
    with tempfile.TemporaryFile() as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            sink.seek(0)
            text.append(sink.read().decode(errors="replace"))


def reference_calls(
    model: bytes, calls: Sequence[Sequence[Array]], outputs: int = 1, arena: int = 1 << 20
) -> list[list[Array]]:
    """The outputs of each call in order; state carries over. Raises Refused."""
    from tflite_micro.python.tflite_micro import runtime

    text: list[str] = []
    results: list[list[Array]] = []
    try:
        with _captured_stderr(text):
            interpreter = runtime.Interpreter.from_bytes(model, arena_size=arena)
            for inputs in calls:
                for index, value in enumerate(inputs):
                    interpreter.set_input(value, index)
                interpreter.invoke()
                results.append([np.array(interpreter.get_output(i)) for i in range(outputs)])
    except (RuntimeError, ValueError) as error:
        raise Refused(f"{error} {' '.join(text).strip()}") from error
    return results


def reference(model: bytes, inputs: Sequence[Array], outputs: int = 1) -> list[Array]:
    """The outputs of one call on a fresh interpreter. Raises Refused."""
    return reference_calls(model, [inputs], outputs)[0]
