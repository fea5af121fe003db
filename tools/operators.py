"""Writes docs/operators.md: what the front end reads and what runs it, from the code itself."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from thumbnet.codegen.frontends.tflite_operators import CONVERTERS
from thumbnet.codegen.lowering.registry import LOWERINGS

_HEAD = """# Operators

Written by `./sconsw docs` from the code; `tests/tools/test_operators.py` fails when it is stale.

Activations are int8 (per tensor, any zero point); weights are int8, per output channel or per
tensor; biases int32. Every operator gives the bytes of TensorFlow Lite Micro's reference kernel. A
batch of -1 means 1. A model that uses anything else is refused in one message that names each
operator and its tensor.

| operator | what is supported |
|---|---|
"""

# Operators whose lowering's docstring does not say it: they reach the graph as another one, leave
# no code, or take all that TensorFlow Lite defines.
_NOTES = {
    "CONV_2D": "Any kernel, stride, dilation and padding.",
    "DEPTHWISE_CONV_2D": "Any kernel, stride, dilation, padding and channel multiplier.",
    "FULLY_CONNECTED": "Inputs of any rank; weights are constant.",
    "DEQUANTIZE": "At the outputs of a model; `NAME.h` has the helper that does it in firmware.",
    "EXPAND_DIMS": "As RESHAPE.",
    "PADV2": "As PAD, with its own value.",
    "RESHAPE": "No code: the same bytes seen otherwise, or a copy where both must live.",
    "SPLIT": "As SLICE, one for each output.",
    "SPLIT_V": "As SLICE, one for each output.",
    "SQUEEZE": "As RESHAPE.",
    "STRIDED_SLICE": "As SLICE, negative strides and shrunk axes included.",
    "VAR_HANDLE": "State in the arena; `NAME_init` gives it its first value.",
    "RESIZE_BILINEAR": "int8 [1, H, W, C], corners aligned or not, half-pixel centres or not.",
    "RESIZE_NEAREST_NEIGHBOR": "[1, H, W, C] of any type, with the same choices.",
    "READ_VARIABLE": "No code, or a copy where the state changes while the value is in use.",
    "ASSIGN_VARIABLE": "No code, or a copy into the state.",
    "CALL_ONCE": "Run by the compiler: it gives the state its first value.",
}


def operators_page() -> str:
    """The whole of docs/operators.md. Raises LookupError for an operator that nothing explains."""
    kinds_of: dict[str, list[str]] = {}
    for kind in sorted({*CONVERTERS, *_NOTES}):
        text = _NOTES.get(kind) or _summary(LOWERINGS[kind].__doc__)
        kinds_of.setdefault(text, []).append(kind)
    return _HEAD + "".join(f"| {', '.join(kinds)} | {text} |\n" for text, kinds in kinds_of.items())


def _summary(docstring: str | None) -> str:
    """The first paragraph of a lowering's docstring, without operators' names and errors."""
    paragraph = " ".join((docstring or "").strip().split("\n\n")[0].split())
    kept = [part for part in paragraph.split(". ") if not part.startswith("Raises")]
    text = re.sub(r"^([A-Z][A-Z0-9_]+(, | and )?)+[ ,;]*", "", ". ".join(kept)).rstrip(".")
    return text[:1].upper() + text[1:] + "."


def main() -> int:
    page = Path(sys.argv[1])
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(operators_page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
