"""Many compiled models in one host program, mostly under the address and undefined-behaviour
sanitizers.

Each run is a process of its own, with an arena of exactly the size that the header states, filled
with garbage, so that whatever a model does wrong ends that process alone.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from thumbnet.codegen.manifest import EdgeEntry, Manifest, read_manifest
from thumbnet.tools.arrays import Array, dequantize

SANITIZE = ("-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")

_MAIN = """
#include <stdio.h>
#include <stdlib.h>

typedef struct { int offset; size_t bytes; } edge;

static void transfer(uint8_t *arena, const edge *edges, int reading) {
    for (; edges->bytes; edges++) {
        size_t done = reading ? fread(arena + edges->offset, 1, edges->bytes, stdin)
                              : fwrite(arena + edges->offset, 1, edges->bytes, stdout);
        if (done != edges->bytes) exit(3);
    }
}

static void run(size_t size, const edge *inputs, const edge *outputs, void (*init)(uint8_t *),
                void (*once)(uint8_t *), int calls) {
    void *memory;
    if (posix_memalign(&memory, 16, size)) exit(3);
    uint8_t *arena = memory;
    for (size_t i = 0; i < size; i++) arena[i] = (uint8_t)(0xA5 + 31 * i);
    if (init) init(arena);
    while (calls--) {
        transfer(arena, inputs, 1);
        once(arena);
        transfer(arena, outputs, 0);
    }
    free(memory);
}

int main(int argc, char **argv) {
    (void)argc;
    int calls = atoi(argv[2]);
    switch (atoi(argv[1])) {
CASES
    default: return 4;
    }
    return 0;
}
"""


def build_program(
    folders: Sequence[Path], work: Path, *, dsp: bool = False, flags: Sequence[str] = SANITIZE
) -> Path:
    """The program; run N of it is the model in folders[N], whose names must differ."""
    lines, cases = ["#define _POSIX_C_SOURCE 200809L", f"#define TN_DSP {int(dsp)}"], []
    for number, folder in enumerate(folders):
        manifest = read_manifest(folder)
        name = manifest.name
        lines.append(f'#include "{folder.resolve()}/{name}.c"')
        init = f"{name}_init" if manifest.state else "0"
        cases.append(
            f"    case {number}: run({name.upper()}_ARENA_SIZE, {_table(manifest.inputs)}, "
            f"{_table(manifest.outputs)}, {init}, {name}_run, calls); break;"
        )
    work.mkdir(exist_ok=True)
    source, program = work / "models.c", work / "models"
    text = "\n".join(lines) + _MAIN.replace("CASES", "\n".join(cases))
    source.write_text(text, encoding="utf-8")
    command = ["gcc", "-std=c11", *flags, str(source), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:3000]
    return program


def _table(edges: Sequence[EdgeEntry]) -> str:
    items = "".join(f"{{{e.offset}, {e.bytes}}}, " for e in edges)
    return f"(const edge[]){{{items}{{0, 0}}}}"


def run_program(
    program: Path, number: int, manifest: Manifest, calls: Sequence[Sequence[Array]]
) -> list[list[Array]]:
    """Outputs of each call. A finding of the sanitizers, or a hang, is an AssertionError."""
    given = b"".join(np.ascontiguousarray(a).tobytes() for call in calls for a in call)
    done = subprocess.run(
        [str(program), str(number), str(len(calls))], input=given, capture_output=True,
        check=False, timeout=60, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode(errors="replace")[:2000]
    results, at = [], 0
    for _ in calls:
        outputs = []
        for edge in manifest.outputs:
            raw = done.stdout[at : at + edge.bytes]
            outputs.append(np.frombuffer(raw, edge.dtype).reshape(edge.shape))
            at += edge.bytes
        results.append(outputs)
    return results


def dequantized(calls: Sequence[Sequence[Array]], edges: Sequence[EdgeEntry]) -> list[list[Array]]:
    """The same as the source model's own types: float32 where it had float edges."""
    return [[dequantize(a, e) for a, e in zip(call, edges, strict=True)] for call in calls]
