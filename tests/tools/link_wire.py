"""The link runner compiled for this machine (link_board.c) behind a wire that does damage, in a
time of its own: a wait costs nothing."""

from __future__ import annotations

import ctypes
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.targets import PORTS
from thumbnet.codegen.toolchain import host_compiler

INPUTS, OUTPUTS, LAYERS = (300, 5), (259, 3), 70
FLAGS = (
    "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined",
    "-fsanitize-undefined-trap-on-error", "-shared", "-fPIC",
)  # fmt: skip


def build_board(folder: Path) -> ctypes.CDLL:
    library = folder / "link_board.so"
    source = Path(__file__).with_name("link_board.c")
    command = [host_compiler(), *FLAGS, "-I", str(PORTS), "-I", str(PORTS / "runner")]
    subprocess.run([*command, str(source), "-o", str(library)], check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.board_take.restype = ctypes.c_size_t
    return loaded


def model(call: int, left: bytes, right: bytes) -> tuple[bytes, bytes]:
    """What the model of link_board.c gives in its call number `call`, counted from 1."""
    a = np.frombuffer(left, np.uint8).astype(np.int64)
    b = np.frombuffer(right, np.uint8).astype(np.int64)
    i = np.arange(OUTPUTS[0])
    sums = (a[i] + a[i + 41] * b[i % 5] + call) & 255
    return sums.astype(np.uint8).tobytes(), bytes([call & 255]) * 3


@dataclass(frozen=True)
class Faults:
    """Chances. Those of bytes are for each byte, the others for each piece that is carried."""

    drop: float = 0  # of a byte
    flip: float = 0  # of a bit of a byte
    insert: float = 0  # of a strange byte before a byte
    lose: float = 0  # of a whole piece
    repeat: float = 0  # of a piece
    cut: float = 0  # of the rest of a piece
    late: float = 0  # that a piece, either way, waits for the next
    reset: float = 0  # that the board is reset within a piece


class Wire:
    """A Transport to the board. `now` is the wire's time in seconds."""

    def __init__(self, board: ctypes.CDLL, faults: Faults, seed: int) -> None:
        self.now = 0.0
        self._board, self._faults = board, faults
        self._rng = np.random.default_rng(seed)
        self._buffer = ctypes.create_string_buffer(1 << 20)
        self._coming = b""
        self._late = self._waiting = b""
        board.board_crash_in(-1)
        board.board_reset()
        board.board_take(self._buffer)

    def clock(self) -> float:
        return self.now

    def write(self, data: bytes) -> None:
        self.now += len(data) * 10 / 115_200
        data = self._damaged(data)
        if self._happens(self._faults.late):
            self._waiting += data
            return
        data, self._waiting = self._waiting + data, b""
        for piece in self._pieces(data):
            if self._happens(self._faults.reset):
                cut = int(self._rng.integers(len(piece) + 1))
                self._give(piece[:cut])
                self.reset()
                piece = piece[cut:]
            self._give(piece)
        came = self._damaged(self._taken())
        if self._happens(self._faults.late):
            self._late += came
        else:
            self._coming += self._late + came
            self._late = b""

    def read(self, timeout: float) -> bytes:
        if not self._coming:
            self.now += max(timeout, 1e-6)
            self._coming, self._late = self._late, b""
            return b""
        count = int(self._rng.integers(1, len(self._coming) + 1))
        got, self._coming = self._coming[:count], self._coming[count:]
        self.now += count * 10 / 115_200
        return got

    def close(self) -> None:
        pass

    def reset(self) -> None:
        self._board.board_reset()

    def _give(self, data: bytes) -> None:
        if data:
            self._board.board_give(data, ctypes.c_size_t(len(data)))

    def _taken(self) -> bytes:
        count = self._board.board_take(self._buffer)
        return ctypes.string_at(self._buffer, count)

    def _happens(self, chance: float) -> bool:
        return bool(chance) and bool(self._rng.random() < chance)

    def _pieces(self, data: bytes) -> list[bytes]:
        cuts = sorted(self._rng.integers(0, len(data) + 1, 2)) if data else []
        edges = [0, *map(int, cuts), len(data)]
        return [data[a:b] for a, b in zip(edges, edges[1:], strict=False)]

    def _damaged(self, data: bytes) -> bytes:
        faults, rng = self._faults, self._rng
        if not data or self._happens(faults.lose):
            return b""
        values = np.frombuffer(data, np.uint8)
        if faults.flip:
            bits = (rng.random(len(values)) < faults.flip) << rng.integers(0, 8, len(values))
            values = values ^ bits.astype(np.uint8)
        if faults.drop:
            values = values[rng.random(len(values)) >= faults.drop]
        if faults.insert:
            places = np.flatnonzero(rng.random(len(values) + 1) < faults.insert)
            strange: NDArray[np.uint8] = rng.integers(0, 256, len(places), np.uint8)
            values = np.insert(values, places, strange)
        damaged = values.tobytes()
        if self._happens(faults.cut):
            damaged = damaged[: int(rng.integers(len(damaged) + 1))]
        return damaged * (2 if self._happens(faults.repeat) else 1)
