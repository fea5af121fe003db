"""Runs one lowered `Kernel` on the host, from the headers that ship.

`run_kernel` keeps one shared library for each (function, DSP or plain) and gives it layer
descriptors as run-time data. With `sanitize` or `specialise` it builds a program for that one
example instead, as the generator would write it.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import cffi
import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.graph import Graph, Tensor
from thumbnet.codegen.kernel import Call, Constant, Kernel
from thumbnet.codegen.runtime_files import runtime_files

RUNTIME = Path(__file__).resolve().parent.parent / "runtime"
GUARD = 64
FILL = 0xA5
CTYPES = {"int8": "int8_t", "uint8": "uint8_t", "int16": "int16_t", "int32": "int32_t"}
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
SANITIZE = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="thumbnet-kernels-")


def struct_text(header: str, layer_type: str) -> str:
    """The `typedef struct {...} layer_type;` of a runtime header and what it includes, without
    comments."""
    text = re.sub(r"/\*.*?\*/", "", "".join(runtime_files([header]).values()), flags=re.S)
    match = re.search(r"typedef struct \{[^{}]*\} " + layer_type + ";", text)
    assert match, f"{header} does not declare {layer_type}"
    return match.group(0)


def struct_members(header: str, layer_type: str) -> list[str]:
    """Names of the members of a layer descriptor, in the order of their declaration."""
    body = struct_text(header, layer_type).split("{", 1)[1].rsplit("}", 1)[0]
    names = []
    for statement in filter(None, (part.strip() for part in body.split(";"))):
        for part in statement.split(","):
            match = re.search(r"(\w+)\s*(\[[^]]*\])?$", part.strip())
            assert match, part
            names.append(match.group(1))
    return names


def _signature(name: str, call: Call) -> str:
    rows = "".join(f"tn_rows in{i}, " for i in range(len(call.inputs)))
    scratch = "void *scratch, " if call.scratch else ""
    return (
        f"void {name}(const {call.layer_type} *layer, {rows}tn_rows out, {scratch}"
        "int32_t y_begin, int32_t y_end)"
    )


def _forward(call: Call, layer: str) -> str:
    rows = "".join(f"in{i}, " for i in range(len(call.inputs)))
    scratch = "scratch, " if call.scratch else ""
    return f"{call.symbol}({layer}, {rows}out, {scratch}y_begin, y_end);"


def compile_c(source: str, output: str, flags: Sequence[str]) -> Path:
    """Compile C source text with the host gcc against runtime/; returns the file."""
    folder = Path(_folder().name)
    path = folder / f"{output}.c"
    path.write_text(source)
    command = ["gcc", *WARNINGS, f"-I{RUNTIME}", *flags, str(path), "-o", str(folder / output)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / output


@cache
def _library(
    function: str,
    header: str,
    layer_type: str,
    inputs: int,
    scratch: bool,
    dsp: bool,
    numbers: tuple[int, ...] = (),
) -> tuple[cffi.FFI, object]:
    call = Call(function, header, layer_type, {}, tuple(range(inputs)), (), scratch, numbers)
    signature = _signature("run_kernel", call)
    source = f'#include "{header}"\n{call.made_by}{signature};\n'
    source += f"{signature} {{ {_forward(call, 'layer')} }}\n"
    library = compile_c(
        source, f"{call.symbol}_{int(dsp)}.so", ["-O1", "-shared", "-fPIC", f"-DTN_DSP={int(dsp)}"]
    )
    ffi = cffi.FFI()
    ffi.cdef("typedef struct { int8_t *data; int32_t pitch; const uint16_t *ring; } tn_rows;")
    ffi.cdef(struct_text(header, layer_type))
    ffi.cdef(signature + ";")
    return ffi, ffi.dlopen(str(library))


def _check_fields(call: Call) -> None:
    members = struct_members(call.header, call.layer_type)
    assert list(call.fields) == members, (list(call.fields), members)
    assert set(call.literals) <= set(members)


def _array(tensor: Tensor, value: NDArray[np.generic]) -> NDArray[np.generic]:
    assert value.dtype == np.dtype(tensor.dtype), (value.dtype, tensor.dtype)
    return np.ascontiguousarray(value).reshape(tensor.shape)


def run_kernel(
    kernel: Kernel,
    graph: Graph,
    inputs: Mapping[str, NDArray[np.generic]],
    *,
    dsp: bool,
    bands: Sequence[tuple[int, int]] | None = None,
    sanitize: bool = False,
    specialise: bool = False,
    overlap: int | None = None,
) -> NDArray[np.generic]:
    """Run all calls of `kernel` for each band of its rows; returns the output tensor.

    inputs: tensor name -> array. bands: default all rows at once. overlap: the output starts this
    many bytes from the start of read 0 (may be negative), in the same memory; default apart. The
    bytes around every tensor and the scratch are checked to be untouched.
    """
    out = graph.tensors[kernel.output]
    bands = bands if bands is not None else [(0, kernel.unit_rows or out.rows)]
    for call in kernel.calls:
        _check_fields(call)
    if sanitize or specialise:
        assert overlap is None
        return _run_program(kernel, graph, inputs, dsp, bands, sanitize, specialise)

    tensors = [graph.tensors[read.tensor] for read in kernel.reads]
    sizes = [t.nbytes for t in tensors]
    starts, position = [], GUARD
    for index, size in enumerate(sizes):
        if index == 0 and overlap is not None:
            low = min(0, overlap)
            starts.append(position - low)
            out_start = position - low + overlap
            size = max(size, overlap + out.nbytes) - low
        else:
            starts.append(position)
        position += (size + GUARD + 3) & ~3
    if overlap is None:
        out_start = position
        position += (out.nbytes + GUARD + 3) & ~3
    scratch_start = position
    position += kernel.scratch_bytes + GUARD
    memory = np.full(position, FILL, np.uint8)
    owned = np.zeros(position, bool)
    for tensor, start, size in zip(tensors, starts, sizes, strict=True):
        value = _array(tensor, np.asarray(inputs[tensor.name]))
        memory[start : start + size] = np.frombuffer(value.tobytes(), np.uint8)
    owned[out_start : out_start + out.nbytes] = True
    owned[scratch_start : scratch_start + kernel.scratch_bytes] = True
    before = memory.copy()

    for y_begin, y_end in bands:
        for call in kernel.calls:
            ffi, library = _library(
                call.function,
                call.header,
                call.layer_type,
                len(call.inputs),
                call.scratch,
                dsp,
                call.numbers,
            )
            base = ffi.cast("int8_t *", ffi.from_buffer(memory))
            keep = []
            pointers = re.findall(r"\*\s*(\w+;)", struct_text(call.header, call.layer_type))
            layer = ffi.new(f"{call.layer_type} *")
            for name, value in call.fields.items():
                if isinstance(value, Constant):
                    data = np.ascontiguousarray(value.data)
                    assert np.dtype(value.ctype.removesuffix("_t")) == data.dtype, name
                    buffer = ffi.from_buffer(f"{value.ctype}[]", data)
                    keep.append(buffer)
                    setattr(layer, name, buffer)
                elif value == 0 and f"{name};" in pointers:
                    setattr(layer, name, ffi.NULL)
                else:
                    setattr(layer, name, value)
            rows = [
                {"data": base + starts[i], "pitch": tensors[i].row_bytes, "ring": ffi.NULL}
                for i in call.inputs
            ]
            rows.append({"data": base + out_start, "pitch": out.row_bytes, "ring": ffi.NULL})
            arguments = [ffi.new("tn_rows *", row)[0] for row in rows]
            if call.scratch:
                arguments.append(ffi.cast("void *", base + scratch_start))
            library.run_kernel(layer, *arguments, y_begin, y_end)  # type: ignore[attr-defined]
    changed = np.flatnonzero((memory != before) & ~owned)
    assert changed.size == 0, f"{kernel.kind} wrote outside its output, at {changed[:8]}"
    result = memory[out_start : out_start + out.nbytes].tobytes()
    return np.frombuffer(result, np.dtype(out.dtype)).reshape(out.shape)


# ---- one program for one example ----------------------------------------------------------------


def _values(data: NDArray[np.generic]) -> str:
    return "{" + ",".join(str(int(v)) for v in data.reshape(-1)) + "}"


def _run_program(
    kernel: Kernel,
    graph: Graph,
    inputs: Mapping[str, NDArray[np.generic]],
    dsp: bool,
    bands: Sequence[tuple[int, int]],
    sanitize: bool,
    specialise: bool,
) -> NDArray[np.generic]:
    source, calls = program_parts(kernel, graph, inputs, specialise=specialise)
    out = graph.tensors[kernel.output]
    body = "\n".join(call.format(y_begin=a, y_end=b) for a, b in bands for call in calls)
    text = (
        f"#include <stdio.h>\n{source}\nint main(void) {{\n{body}\n"
        f"    return fwrite(output, 1, {out.nbytes}, stdout) == {out.nbytes} ? 0 : 1;\n}}\n"
    )
    flags = [f"-DTN_DSP={int(dsp)}", *(["-O1", *SANITIZE] if sanitize else ["-O2"])]
    program = compile_c(text, "example", flags)
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([str(program)], capture_output=True, env=environment)
    assert done.returncode == 0, done.stderr.decode()
    return np.frombuffer(done.stdout, np.dtype(out.dtype)).reshape(out.shape)


def program_parts(
    kernel: Kernel,
    graph: Graph,
    inputs: Mapping[str, NDArray[np.generic]],
    *,
    specialise: bool,
) -> tuple[str, list[str]]:
    """C text of constants, descriptors, tensors and kernels of one example, and its calls.

    Each call is a format string with {y_begin} and {y_end}; the output is `output`.
    """
    out = graph.tensors[kernel.output]
    lines = [f'#include "{header}"' for header in sorted({c.header for c in kernel.calls})]
    for index, read in enumerate(kernel.reads):
        tensor = graph.tensors[read.tensor]
        value = _array(tensor, np.asarray(inputs[read.tensor]))
        ctype = CTYPES[tensor.dtype]
        lines.append(f"static _Alignas(4) {ctype} input_{index}[] = {_values(value)};")
    lines.append(f"static _Alignas(4) {CTYPES[out.dtype]} output[{max(1, out.elements)}];")
    if any(call.scratch for call in kernel.calls):
        size = max(1, kernel.scratch_bytes)
        lines.append(f"static _Alignas(4) uint8_t scratch_memory[{size}];")
    calls = []
    for position, call in enumerate(kernel.calls):
        initialisers = []
        for name, value in call.fields.items():
            if isinstance(value, Constant):
                symbol = f"layer_{position}_{name}"
                lines.append(
                    f"static _Alignas(4) const {value.ctype} {symbol}[] = {_values(value.data)};"
                )
                initialisers.append(f".{name} = {symbol}")
            elif isinstance(value, tuple):
                items = ", ".join(str(v) for v in value)
                initialisers.append(f".{name} = {{{items}}}")
            else:
                initialisers.append(f".{name} = {value}")
        lines.append(
            f"static const {call.layer_type} layer_{position} = {{ {', '.join(initialisers)} }};"
        )
        folded = "".join(f" g.{n} = {call.fields[n]};" for n in call.literals if specialise)
        signature = _signature(f"kernel_{position}", call)
        lines.append(
            f"{call.made_by}static TN_NOINLINE {signature} {{\n"
            f"    {call.layer_type} g = *layer;{folded}\n"
            f"    {_forward(call, '&g')}\n}}"
        )
        arguments = [f"&layer_{position}"]
        for i in call.inputs:
            pitch = graph.tensors[kernel.reads[i].tensor].row_bytes
            arguments.append(f"(tn_rows){{{{ (int8_t *)input_{i}, {pitch}, NULL }}}}")
        arguments.append(f"(tn_rows){{{{ (int8_t *)output, {out.row_bytes}, NULL }}}}")
        if call.scratch:
            arguments.append("scratch_memory")
        calls.append(f"    kernel_{position}({', '.join(arguments)}, {{y_begin}}, {{y_end}});")
    return "\n".join(lines) + "\n", calls
