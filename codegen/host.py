"""Running a compiled model on this machine, through the very C that it ships."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cffi

from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.manifest import Manifest


class HostModel:
    """A compiled model as a loaded shared library, with an arena of its own.

    State carries over from call to call until a new object is made.
    """

    def __init__(self, library: Path, manifest: Manifest) -> None:
        self._manifest = manifest
        self._ffi = cffi.FFI()
        name = manifest.name
        declarations = [f"void {name}_run(uint8_t *arena);"]
        if manifest.row_fed:
            declarations = [f"void {name}_run_rows(uint8_t *arena, const void *input);"]
        if manifest.state:
            declarations.append(f"void {name}_init(uint8_t *arena);")
        self._ffi.cdef("\n".join(declarations))
        try:
            self._library = self._ffi.dlopen(str(library))
        except OSError as error:
            raise ToolError(f"cannot load {library}: {error}") from error
        self._memory = self._ffi.new("uint64_t[]", manifest.arena_bytes // 8 + 1)
        self._arena = self._ffi.cast("uint8_t *", self._memory)
        run = f"{name}_run_rows" if manifest.row_fed else f"{name}_run"
        self._run = getattr(self._library, run)
        if manifest.state:
            getattr(self._library, f"{name}_init")(self._arena)

    def __call__(self, inputs: Sequence[bytes]) -> list[bytes]:
        """One run. `inputs` and the result hold each edge's raw bytes."""
        if self._manifest.row_fed:
            self._run(self._arena, self._ffi.from_buffer(inputs[0]))
        else:
            for edge, data in zip(self._manifest.inputs, inputs, strict=True):
                self._ffi.memmove(self._arena + edge.offset, data, edge.bytes)
            self._run(self._arena)
        return [
            bytes(self._ffi.buffer(self._arena + edge.offset, edge.bytes))
            for edge in self._manifest.outputs
        ]
