"""The store and the lock in C on simulated flash (flash_simulated.c), for Python."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cffi
import numpy as np
from numpy.typing import NDArray

import thumbnet.apps.face_unlock as application
from thumbnet.codegen.targets import PORTS

BYTES, DIMENSIONS = 1 << 14, 8  # BYTES: of the flash that can be put back
OK, NONE, FULL, FLASH = range(4)
WAYS = ("before", "after", "half", "random", "invisible")
# page bytes, pages, word bytes, endurance; and whether words have error correction
SHAPES = {
    "nrf52840": ("4096,4,4,10000", 0),
    "small pages": ("512,4,4,10000", 0),
    "flash words with correction": ("512,2,32,10000", 1),
}
CHIPS = {**SHAPES, "stm32h743": ("131072,2,32,10000", 1)}

_FIRMWARE = Path(application.__file__).resolve().parent / "firmware"
_DECLARATIONS = """
typedef struct { uint32_t model, count; char name[16]; } tn_stored_user;
typedef struct { uint32_t area, generation, end, closed, failures, at[8]; } tn_store;
typedef struct { uint32_t since, wait; } tn_lock;
void tn_store_open(tn_store *store);
int tn_store_put(tn_store *store, uint32_t user, const tn_stored_user *added, const int16_t *unit);
int tn_store_remove(tn_store *store, uint32_t user);
int tn_store_failures(tn_store *store, uint32_t failures);
uint32_t tn_lock_wait(uint32_t failures);
void tn_lock_start(tn_lock *lock, const tn_store *store, uint32_t now);
uint32_t tn_lock_left(tn_lock *lock, uint32_t now);
int tn_lock_try(tn_lock *lock, tn_store *store, uint32_t now);
int tn_lock_decide(tn_lock *lock, tn_store *store, int matched);
void simulated_new(int32_t fill);
void simulated_power(int64_t count, int32_t how, uint64_t seed);
void simulated_breaks(int32_t word);
int64_t simulated_operations(void);
int64_t simulated_twice(void);
int64_t simulated_erasures(void);
int32_t simulated_dead(void);
void simulated_save(uint8_t *to);
void simulated_load(const uint8_t *from);
int64_t simulated_stored(const tn_store *store, uint8_t *to);
"""


def build(folder: Path, shape: str) -> SimulatedStore:
    """Compiles store, lock and flash of one of CHIPS, sanitised against undefined behaviour."""
    values, corrects = CHIPS[shape]
    library = folder / f"{shape.replace(' ', '_')}.so"
    here = Path(__file__).resolve().parent / "flash_simulated.c"
    command = [
        "gcc", "-std=c11", "-O1", "-g", "-fPIC", "-shared", "-Wall", "-Wextra", "-Wconversion",
        "-Werror", "-fsanitize=undefined", "-fsanitize-undefined-trap-on-error",
        f"-DSHAPE={values}", f"-DCORRECTS={corrects}", f"-I{PORTS}", f"-I{_FIRMWARE}", str(here),
        str(_FIRMWARE / "template_store.c"), str(_FIRMWARE / "lock.c"), "-o", str(library),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return SimulatedStore(library, tuple(map(int, values.split(","))))


class SimulatedStore:
    """A store on flash that is new; `open` is a reset."""

    def __init__(self, library: Path, shape: tuple[int, ...]) -> None:
        page_bytes, self.pages, self.word_bytes, self.endurance = shape
        self.area_bytes = page_bytes * self.pages // 2
        self._ffi = cffi.FFI()
        self._ffi.cdef(_DECLARATIONS)
        self.c = self._ffi.dlopen(str(library))
        self.store = self._ffi.new("tn_store *")
        self.lock = self._ffi.new("tn_lock *")
        self._seed = 0
        self.new()

    def new(self, fill: int = 0xFF) -> None:
        self.c.simulated_new(fill)
        self.open()

    def open(self) -> None:
        self.c.tn_store_open(self.store)

    def put(self, user: int, number: int, dimensions: int = DIMENSIONS) -> int:
        """A user whose name and template follow from a number."""
        added = self._ffi.new("tn_stored_user *", [1, dimensions, b"user %d" % number])
        unit = np.random.default_rng(number).integers(-32768, 32768, dimensions).astype(np.int16)
        return self.c.tn_store_put(
            self.store, user, added, self._ffi.from_buffer("int16_t[]", unit)
        )

    def remove(self, user: int) -> int:
        return self.c.tn_store_remove(self.store, user)

    def failures(self, count: int) -> int:
        return self.c.tn_store_failures(self.store, count)

    def stored(self) -> bytes:
        """All that the store gives, to compare."""
        to = np.empty(1024, np.uint8)
        count = self.c.simulated_stored(self.store, self._ffi.from_buffer("uint8_t[]", to))
        return to[:count].tobytes()

    def power(self, count: int = -1, way: str = "before") -> None:
        """On, and off again after `count` operations; -1: it stays on."""
        self._seed += 1
        self.c.simulated_power(count, WAYS.index(way), self._seed)

    def chip(self) -> NDArray[np.uint8]:
        to = np.empty(3 * BYTES, np.uint8)
        self.c.simulated_save(self._ffi.from_buffer("uint8_t[]", to))
        return to

    def put_chip(self, chip: NDArray[np.uint8]) -> None:
        self.c.simulated_load(self._ffi.from_buffer("uint8_t[]", chip))
