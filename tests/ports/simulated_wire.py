"""The transport of a serial link to a board that Unicorn runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import Any


class SimulatedWire(ABC):
    """What boards whose UART is simulated have in common: bytes on their way, and their own time,
    which stands still but for waiting in `read`. A board sets `_uc`."""

    _uc: Any

    def __init__(self) -> None:
        self._wire: deque[int] = deque()  # sent to the board, not yet at its UART
        self._sent = bytearray()  # by the board, not yet read
        self._time = 0.0

    @abstractmethod
    def _go(self) -> None:
        """Runs the board until it waits for a byte that has not come."""

    def clock(self) -> float:
        return self._time

    def write(self, data: bytes) -> None:
        self._wire.extend(data)

    def read(self, timeout: float) -> bytes:
        self._go()
        got = bytes(self._sent)
        self._sent.clear()
        if not got:
            self._time += timeout
        return got

    def close(self) -> None:
        self._uc.emu_stop()
