"""The schedule checker: executes a schedule on tags instead of numbers.

Every arena byte holds a tag that says which byte of which value it is. Each step is run row by row
under the contract of its kernel (`Overlap` in kernel.py): every byte that a row reads must carry
the tag that is expected there, no row may destroy what it or its kernel still reads, scratch
destroys whatever lay there, and every row of every value is computed exactly once. A schedule that
passes computes what the graph says, if the kernels keep their contracts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thumbnet.codegen.errors import ScheduleError
from thumbnet.codegen.graph import Tensor
from thumbnet.codegen.kernel import Kernel, Read
from thumbnet.codegen.liveness import is_elementwise, window_rows
from thumbnet.codegen.schedule import ALIGNMENT, Schedule, Step

_GARBAGE = -1
_VALUE_SHIFT = 40  # a tag is value number << 40 | byte


@dataclass(frozen=True)
class Verdict:
    """What the proof found besides that the schedule is sound."""

    inputs_survive: dict[str, bool]  # by graph input: whether its bytes are intact after a run


def check_schedule(schedule: Schedule) -> Verdict:
    """Raises ScheduleError, naming the step and tensor, unless the schedule is sound."""
    return _Execution(schedule).run()


class _Execution:
    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.tensors = schedule.graph.tensors
        self.arena: NDArray[np.int64] = np.full(schedule.arena_bytes, _GARBAGE, dtype=np.int64)
        self.numbers = {value: i for i, value in enumerate(schedule.storage_of)}
        self.rows_done: dict[str, int] = {}
        self._check_storages()

    def _check_storages(self) -> None:
        for storage in self.schedule.storages.values():
            if storage.offset < 0 or storage.offset + storage.nbytes > self.schedule.arena_bytes:
                raise ScheduleError(f"'{storage.name}' lies outside of the arena")
            if storage.offset % ALIGNMENT:
                raise ScheduleError(f"'{storage.name}' is not aligned to {ALIGNMENT}")

    def run(self) -> Verdict:
        graph = self.schedule.graph
        for name in (*graph.inputs, *self.schedule.initial_value.values()):
            self._write(name, 0, self.tensors[name].nbytes)
        for number, step in enumerate(self.schedule.steps):
            self._step(number, step)
        end = "after the last step"
        for name in graph.outputs:
            self._expect(name, 0, self.tensors[name].nbytes, end)
        for value in self.schedule.final_value.values():
            self._expect(value, 0, self.tensors[value].nbytes, end)
        for kernel in self.schedule.kernels:
            done, rows = self.rows_done.get(kernel.output, 0), self.tensors[kernel.output].rows
            if done != rows:
                raise ScheduleError(f"'{kernel.output}' has {done} of {rows} rows computed")
        return Verdict({name: self._intact(name) for name in graph.inputs})

    # ---- one step ----------------------------------------------------------------------------

    def _step(self, number: int, step: Step) -> None:
        kernel = self.schedule.kernels[step.kernel]
        place = f"step {number} ({kernel.kind} '{kernel.name}')"
        output = self.tensors[kernel.output]
        if self.rows_done.get(kernel.output, 0) != step.y_begin or step.y_end > output.rows:
            raise ScheduleError(f"{place}: rows {step.y_begin}..{step.y_end} are out of turn")
        if kernel.band == "whole" and (step.y_begin, step.y_end) != (0, output.rows):
            raise ScheduleError(f"{place}: a kernel that needs all rows at once got a band")
        self._scratch(step, kernel, place)
        apart = [read for read in kernel.reads if not self._may_overlap(read, output)]
        for read in apart:
            self._disjoint(read, step, output, place)
        for y in range(step.y_begin, step.y_end):
            self._row(kernel, output, y, place)
        self.rows_done[kernel.output] = step.y_end

    @staticmethod
    def _may_overlap(read: Read, output: Tensor) -> bool:
        if read.overlap.mode == "elements":
            return is_elementwise(read) or output.rows == 1
        return read.overlap.mode == "rows" and read.window is not None

    def _scratch(self, step: Step, kernel: Kernel, place: str) -> None:
        """Scratch is garbage from the start of the step, and may not hold what the step writes."""
        if not kernel.scratch_bytes:
            return
        scratch = self.schedule.scratch(step.kernel)
        if scratch is None or scratch.nbytes < kernel.scratch_bytes:
            raise ScheduleError(f"{place}: its scratch has no place")
        begin, end = scratch.offset, scratch.offset + scratch.nbytes
        low, high = self._rows_span(kernel.output, step.y_begin, step.y_end)
        if low < end and begin < high:
            raise ScheduleError(f"{place}: its scratch lies over its output '{kernel.output}'")
        self.arena[begin:end] = _GARBAGE

    def _disjoint(self, read: Read, step: Step, output: Tensor, place: str) -> None:
        write = self._rows_span(output.name, step.y_begin, step.y_end)
        source = self.tensors[read.tensor]
        for y in range(step.y_begin, step.y_end):
            low, high = self._rows_span(read.tensor, *window_rows(read, source, y))
            if low < write[1] and write[0] < high:
                raise ScheduleError(f"{place}: '{output.name}' may not lie over '{read.tensor}'")

    def _row(self, kernel: Kernel, output: Tensor, y: int, place: str) -> None:
        write = self._rows_span(output.name, y, y + 1)
        for read in kernel.reads:
            source = self.tensors[read.tensor]
            first, end = window_rows(read, source, y)
            if first >= end:
                continue
            self._expect(
                read.tensor, first * source.row_bytes, end * source.row_bytes, f"{place}, row {y}"
            )
            low, high = self._rows_span(read.tensor, first, end)
            if (
                low < write[1]
                and write[0] < high
                and not self._units_safe(read, output, low, write[0], high - low)
            ):
                raise ScheduleError(
                    f"{place}: row {y} of '{output.name}' is written over a row of "
                    f"'{read.tensor}' that it still reads"
                )
        self._write(output.name, y * output.row_bytes, (y + 1) * output.row_bytes)

    @staticmethod
    def _units_safe(read: Read, output: Tensor, low: int, write: int, nbytes: int) -> bool:
        """Whether each output unit ends below the next input unit, for the units of one row."""
        if read.overlap.mode != "elements" or not (is_elementwise(read) or output.rows == 1):
            return False
        unit_in, unit_out = read.overlap.input_unit, read.overlap.output_unit
        last = nbytes // unit_in - 2  # both sides are linear in u: the ends decide
        return all(
            write + (u + 1) * unit_out <= low + (u + 1) * unit_in for u in (0, last) if last >= 0
        )

    # ---- bytes and tags ------------------------------------------------------------------------

    def _span(self, tensor: str, begin: int, end: int) -> tuple[int, int]:
        offset = self.schedule.storage(tensor).offset
        return offset + begin, offset + end

    def _rows_span(self, tensor: str, first: int, end: int) -> tuple[int, int]:
        row_bytes = self.tensors[tensor].row_bytes
        return self._span(tensor, first * row_bytes, max(first, end) * row_bytes)

    def _tags(self, tensor: str, begin: int, end: int) -> NDArray[np.int64]:
        number = self.numbers[self.schedule.value_of[tensor]]
        return (number << _VALUE_SHIFT) + np.arange(begin, end, dtype=np.int64)

    def _write(self, tensor: str, begin: int, end: int) -> None:
        low, high = self._span(tensor, begin, end)
        self.arena[low:high] = self._tags(tensor, begin, end)

    def _expect(self, tensor: str, begin: int, end: int, place: str) -> None:
        low, high = self._span(tensor, begin, end)
        wrong = np.flatnonzero(self.arena[low:high] != self._tags(tensor, begin, end))
        if wrong.size:
            held = int(self.arena[low + wrong[0]])
            holder = "nothing" if held < 0 else f"'{list(self.numbers)[held >> _VALUE_SHIFT]}'"
            raise ScheduleError(
                f"{place}: byte {begin + int(wrong[0])} of '{tensor}' was overwritten or never "
                f"written; arena byte {low + int(wrong[0])} holds {holder}"
            )

    def _intact(self, tensor: str) -> bool:
        low, high = self._span(tensor, 0, self.tensors[tensor].nbytes)
        tags = self._tags(tensor, 0, self.tensors[tensor].nbytes)
        return bool((self.arena[low:high] == tags).all())
