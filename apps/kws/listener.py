"""The keyword application as C: put together in a folder, on this machine or for a board.

Front end, streamed network and detector are the same C in both; see `firmware/listener.h`.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import cffi
import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.audio.host import checked_pcm, write_headers
from thumbnet.apps.kws.detector import DetectorSettings, settings_header
from thumbnet.apps.kws.features import BANDS, PARAMETERS, SCALE, ZERO_POINT
from thumbnet.apps.kws.model_files import NAME, read_facts
from thumbnet.codegen.build_cache import cached
from thumbnet.codegen.compile import Options, compile_model
from thumbnet.codegen.errors import ModelFormatError, ToolError
from thumbnet.codegen.firmware import Firmware, build_firmware
from thumbnet.codegen.manifest import FILE_NAME, EdgeEntry, Manifest, read_manifest
from thumbnet.codegen.targets import Board
from thumbnet.codegen.toolchain import host_library

HOP_SECONDS = PARAMETERS.hop / PARAMETERS.sample_rate

_HERE = Path(__file__).resolve().parent
_SOURCES = tuple(
    _HERE / name
    for name in (
        "detector.h",
        "firmware/listener.h",
        "firmware/main.c",
        "firmware/linked.c",
        "firmware/host.c",
    )
)
_DECLARATIONS = """
typedef struct { int32_t smoothing; int32_t refractory; int32_t threshold; } settings;
int64_t listener_recording(void *listener, const settings *settings, const int16_t *pcm,
                           int64_t hops, int64_t *hop_of, int8_t *posteriors, int32_t *words,
                           int32_t *scores);
void listener_decisions(const settings *settings, const int8_t *posteriors, int64_t runs,
                        int32_t *words, int32_t *scores);
int64_t listener_bytes(void);
"""


@dataclass(frozen=True)
class Heard:
    """One word: when it was known, in seconds from the start, and its mean posterior, rounded."""

    seconds: float
    word: str
    score: float

    def __str__(self) -> str:
        """The line that the firmware prints."""
        return f"{self.seconds:.3f} s  {self.word}  {self.score:.2f}"


def application_folder(
    model: Path, settings: DetectorSettings, target: str, work_dir: Path | None = None
) -> Path:
    """A folder with all C of the application for one target; `model` holds `kws.tflite`.

    Raises ModelFormatError where the network does not fit the front end, and other ThumbnetErrors.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "c"
        _write_application(folder, model, settings, target)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        names = [str(path.relative_to(folder)) for path in files]
        return cached(
            work_dir,
            "listener",
            (*names, *files),
            lambda place: _copy(folder, place),
        )


def _write_application(folder: Path, model: Path, settings: DetectorSettings, target: str) -> None:
    network = model / f"{NAME}.tflite"
    facts = read_facts(model)
    if not network.is_file():
        raise ModelFormatError(f"{network}: there is no network; give a folder that export wrote")
    manifest = compile_model(network, folder, Options(target, name=NAME, input="stream")).manifest
    _check_network(network, manifest, len(facts.classes))
    for source in _SOURCES:
        (folder / source.name).write_bytes(source.read_bytes())
    header = settings_header(facts.words, settings)
    (folder / "listener_settings.h").write_text(header, encoding="utf-8")
    write_headers(folder, PARAMETERS)
    manifest = replace(manifest, sources=(f"{NAME}.c", "host.c"))
    (folder / FILE_NAME).write_text(manifest.to_json(), encoding="utf-8")


def _copy(folder: Path, place: Path) -> None:
    shutil.copytree(folder, place, dirs_exist_ok=True)


def _check_network(path: Path, manifest: Manifest, classes: int) -> None:
    (source,), (result,) = manifest.inputs, manifest.outputs

    def numbers(edge: EdgeEntry) -> tuple[str, float, int]:
        return edge.dtype, edge.scale, edge.zero_point

    if source.bytes % BANDS or numbers(source) != ("int8", SCALE, ZERO_POINT):
        raise ModelFormatError(
            f"{path}: its input is {source.dtype} {list(source.shape)}, scale {source.scale}, zero "
            f"point {source.zero_point}; the front end gives int8 columns of {BANDS}, scale "
            f"{SCALE}, zero point {ZERO_POINT}"
        )
    if result.bytes != classes or numbers(result) != ("int8", 1 / 256, -128):
        raise ModelFormatError(
            f"{path}: its output is {result.dtype} {list(result.shape)}, scale {result.scale}, "
            f"zero point {result.zero_point}; the detector takes {classes} int8 probabilities, "
            "scale 1/256, zero point -128"
        )


def firmware(
    model: Path, settings: DetectorSettings, board: Board, work_dir: Path | None = None
) -> Firmware:
    """The application linked for a board: it listens to a file through semihosting (main.c), or to
    what the serial link brings (linked.c), as the board's runner does. Raises ThumbnetError."""
    folder = application_folder(model, settings, board.target.name, work_dir)
    optimize, linked = read_manifest(folder).optimize, board.runner == "link"
    sources = (f"{NAME}.c", "linked.c" if linked else "main.c")
    return build_firmware(folder, sources, board, optimize, work_dir, linked=linked)


@dataclass(frozen=True, eq=False)
class Listened:
    """All runs of the network over a recording. `words` is the index of the word heard, or -1;
    `scores` are sums of posteriors in 256ths, of meaning where a word was heard."""

    hops: NDArray[np.int64]  # [runs] after which hop, from 0
    posteriors: NDArray[np.int8]  # [runs, classes], zero point -128
    words: NDArray[np.int32]
    scores: NDArray[np.int32]


class HostListener:
    """The application compiled for this machine. Calls release the interpreter's lock.

    Raises ThumbnetError where it cannot be built.
    """

    def __init__(
        self, model: Path, settings: DetectorSettings, work_dir: Path | None = None
    ) -> None:
        self.facts = read_facts(model)
        self.settings = settings
        folder = application_folder(model, settings, "host", work_dir)
        self.manifest = read_manifest(folder)
        self._ffi = cffi.FFI()
        self._ffi.cdef(_DECLARATIONS)
        library = host_library(folder, work_dir)
        try:
            self._library = self._ffi.dlopen(str(library))
        except OSError as error:
            raise ToolError(f"cannot load {library}: {error}") from error

    def listen(self, samples: NDArray[np.int16]) -> Listened:
        """Every run over a recording, int16 [n] at 16 kHz, from a fresh start."""
        pcm = checked_pcm(samples)
        count = pcm.size // PARAMETERS.hop
        hops, posteriors = np.empty(count, np.int64), np.empty((count, self._classes), np.int8)
        words, scores = np.empty(count, np.int32), np.empty(count, np.int32)
        memory = self._ffi.new("uint64_t[]", self._library.listener_bytes() // 8 + 2)
        aligned = (int(self._ffi.cast("uintptr_t", memory)) + 15) // 16 * 16
        runs = self._library.listener_recording(
            self._ffi.cast("void *", aligned),
            self._settings(self.settings),
            self._array("int16_t[]", pcm),
            count,
            self._array("int64_t[]", hops),
            self._array("int8_t[]", posteriors),
            self._array("int32_t[]", words),
            self._array("int32_t[]", scores),
        )
        return Listened(hops[:runs], posteriors[:runs], words[:runs], scores[:runs])

    def decide(self, listened: Listened, settings: DetectorSettings) -> Listened:
        """What other settings make of the same posteriors."""
        given = np.ascontiguousarray(listened.posteriors)
        words, scores = np.empty(len(given), np.int32), np.empty(len(given), np.int32)
        self._library.listener_decisions(
            self._settings(settings),
            self._array("int8_t[]", given),
            len(given),
            self._array("int32_t[]", words),
            self._array("int32_t[]", scores),
        )
        return replace(listened, words=words, scores=scores)

    def heard(self, listened: Listened, settings: DetectorSettings | None = None) -> list[Heard]:
        """The words of a recording; `settings` are those of `decide`, None the listener's own."""
        whole = 256 * (settings or self.settings).smoothing
        return [
            Heard(
                round(float((listened.hops[i] + 1) * HOP_SECONDS), 6),
                self.facts.words[listened.words[i]],
                (int(listened.scores[i]) * 100 + whole // 2) // whole / 100,
            )
            for i in np.flatnonzero(listened.words >= 0)
        ]

    @property
    def run_hops(self) -> int:
        """Hops from one run of the network to the next."""
        return self.manifest.inputs[0].bytes // BANDS

    @property
    def _classes(self) -> int:
        return len(self.facts.classes)

    def _array(self, kind: str, array: NDArray[np.generic]) -> cffi.FFI.CData:
        return self._ffi.from_buffer(kind, array)

    def _settings(self, settings: DetectorSettings) -> cffi.FFI.CData:
        return self._ffi.new(
            "settings *", [settings.smoothing, settings.refractory, settings.least_sum]
        )
