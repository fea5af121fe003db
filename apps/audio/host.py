"""The front end's C on this machine: the bytes that training sees are those of the device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cffi
import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.audio.log_mel import HEADER_NAME, LogMelParameters, log_mel_header
from thumbnet.codegen.build_cache import cached
from thumbnet.codegen.errors import DataError, ToolError
from thumbnet.codegen.image import EMPTY_MODEL
from thumbnet.codegen.manifest import FILE_NAME, EdgeEntry, LayerEntry, Manifest, read_manifest
from thumbnet.codegen.toolchain import host_library

_HERE = Path(__file__).resolve().parent
_RUNTIME = _HERE.parent.parent / "runtime"
_HEADERS = (_HERE / "tn_log_mel.h", _RUNTIME / "tn_core.h", _RUNTIME / "tn_dsp.h")
_AS_MODEL = (_HERE / "log_mel.c", _HERE / "log_mel.h")
# The functions of tn_log_mel.h that the meter tells apart.
_STAGES = ("tn_log_mel_transform", "tn_log_mel_power", "tn_log_mel_column")

_DECLARATIONS = """
void log_mel_init(uint8_t *arena);
void log_mel_run(uint8_t *arena);
int64_t log_mel_columns(const int16_t *pcm, int64_t hops, int8_t *columns);
"""


def _manifest(parameters: LogMelParameters) -> Manifest:
    """The front end as a model: see log_mel.h for what lies where in its arena."""
    p = parameters
    pcm = p.state_bytes + p.scratch_bytes
    column = pcm + 2 * p.hop

    def edge(name: str, dtype: str, shape: tuple[int, ...], offset: int) -> EdgeEntry:
        width = np.dtype(dtype).itemsize
        accessor = "log_mel_input" if name == "pcm" else f"log_mel_output_{name}"
        size = int(np.prod(shape)) * width
        return EdgeEntry(name, accessor, dtype, shape, size, offset, 1.0, 0, False)

    return replace(
        read_manifest(EMPTY_MODEL),
        name="log_mel",
        model="tn_log_mel.h",
        optimize="latency",
        state=True,
        arena_bytes=(column + p.bands + 1 + 3) // 4 * 4,
        inputs=(edge("pcm", "int16", (p.hop,), pcm),),
        outputs=(
            replace(
                edge("column", "int8", (p.bands,), column),
                scale=p.scale,
                zero_point=p.zero_point,
            ),
            edge("ready", "int8", (1,), column + p.bands),
        ),
        layers=tuple(LayerEntry(stage, stage, "AUDIO", 0, 0) for stage in _STAGES),
        sources=("log_mel.c",),
        headers=("log_mel.h", HEADER_NAME, *(h.name for h in _HEADERS)),
    )


def write_headers(folder: Path, parameters: LogMelParameters) -> tuple[str, ...]:
    """Writes into `folder` all that firmware includes, `tn_log_mel.h` first; gives the names.

    Raises ToolError when that cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for header in _HEADERS:
            (folder / header.name).write_bytes(header.read_bytes())
        (folder / HEADER_NAME).write_text(log_mel_header(parameters), encoding="ascii")
    except OSError as error:
        raise ToolError(f"cannot write into {folder}: {error.strerror}") from error
    return (*(header.name for header in _HEADERS), HEADER_NAME)


def model_folder(parameters: LogMelParameters, work_dir: Path | None = None) -> Path:
    """A folder of C as `thumbnet compile` writes one: a hop in, a column and whether it is new out.

    `codegen.toolchain` and `tools.emulator` build, run and measure it like any model.
    """
    header = log_mel_header(parameters)
    manifest = _manifest(parameters).to_json()

    def build(folder: Path) -> None:
        write_headers(folder, parameters)
        for source in _AS_MODEL:
            (folder / source.name).write_bytes(source.read_bytes())
        (folder / FILE_NAME).write_text(manifest, encoding="utf-8")

    return cached(work_dir, "audio", (header, manifest, *_HEADERS, *_AS_MODEL), build)


class LogMel:
    """The front end with one set of parameters, compiled for this machine and loaded.

    The calls into C release the interpreter's lock, and `features` may be called from many threads.
    Raises ToolError where there is no C compiler.
    """

    def __init__(
        self, parameters: LogMelParameters | None = None, work_dir: Path | None = None
    ) -> None:
        self.parameters = parameters or LogMelParameters()
        self.manifest = _manifest(self.parameters)
        library = host_library(model_folder(self.parameters, work_dir), work_dir)
        self.ffi = cffi.FFI()
        self.ffi.cdef(_DECLARATIONS)
        try:
            self.library = self.ffi.dlopen(str(library))
        except OSError as error:
            raise ToolError(f"cannot load {library}: {error}") from error

    def features(self, samples: NDArray[np.int16]) -> NDArray[np.int8]:
        """Columns [frames, bands] of a recording, int16 [n]; samples behind the last whole hop do
        not count.

        Column i is of samples [skipped + i * hop, skipped + i * hop + window).
        Raises DataError for other arrays.
        """
        pcm = checked_pcm(samples)
        columns = np.empty((self.parameters.columns(pcm.size), self.parameters.bands), np.int8)
        self.library.log_mel_columns(
            self.ffi.from_buffer("int16_t[]", pcm),
            pcm.size // self.parameters.hop,
            self.ffi.from_buffer("int8_t[]", columns),
        )
        return columns

    def stream(self) -> LogMelStream:
        """A fresh stream."""
        return LogMelStream(self)


class LogMelStream:
    """Columns as the sound comes, in pieces of any length; what they give does not depend on how
    the sound is cut."""

    def __init__(self, front_end: LogMel) -> None:
        self._front_end = front_end
        self._ffi = front_end.ffi
        manifest = front_end.manifest
        self._memory = np.zeros((manifest.arena_bytes + 7) // 8, np.uint64)
        self._arena = self._ffi.cast("uint8_t *", self._ffi.from_buffer(self._memory))
        raw = self._memory.view(np.uint8)
        (pcm,) = manifest.inputs
        column, ready = manifest.outputs
        self._pcm = raw[pcm.offset :][: pcm.bytes].view(np.int16)
        self._column = raw[column.offset :][: column.bytes].view(np.int8)
        self._ready = raw[ready.offset :][:1]
        self._held = np.empty(0, np.int16)  # less than a hop
        front_end.library.log_mel_init(self._arena)

    def push(self, samples: NDArray[np.int16]) -> NDArray[np.int8]:
        """The columns [frames, bands] that these samples, int16 [n], complete."""
        hop = self._front_end.parameters.hop
        waiting = np.concatenate((self._held, checked_pcm(samples)))
        columns = []
        for start in range(0, waiting.size - hop + 1, hop):
            self._pcm[:] = waiting[start : start + hop]
            self._front_end.library.log_mel_run(self._arena)
            if self._ready[0]:
                columns.append(self._column.copy())
        self._held = waiting[waiting.size // hop * hop :]
        return np.array(columns, np.int8).reshape(-1, self._front_end.parameters.bands)


def checked_pcm(samples: NDArray[np.int16]) -> NDArray[np.int16]:
    """`samples` as one contiguous channel of int16. DataError for another type or shape."""
    if samples.dtype != np.int16 or samples.ndim != 1:
        raise DataError(
            f"the audio front end takes one channel of int16 samples, not {samples.dtype} "
            f"{list(samples.shape)}: mix to mono and scale to -32768..32767"
        )
    return np.ascontiguousarray(samples)
