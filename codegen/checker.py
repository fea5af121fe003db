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
from thumbnet.codegen.kernel import FEED, Kernel, Read
from thumbnet.codegen.lifetimes import is_elementwise
from thumbnet.codegen.schedule import ALIGNMENT, CONTROL, Schedule, Step
from thumbnet.codegen.streaming import rows_of, window_rows

Spans = list[tuple[int, int]]  # arena bytes [low, high), in row order

_GARBAGE = -1
_MOST_SLOTS = 1 << 16  # tn_rows.ring is uint16_t
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
        self.touched: NDArray[np.bool_] = np.zeros(schedule.arena_bytes, dtype=bool)
        self.numbers = {value: i for i, value in enumerate(schedule.storage_of)}
        self.rows_done = [0] * len(schedule.kernels)
        self._check_storages()

    def _check_storages(self) -> None:
        for storage in self.schedule.storages.values():
            if storage.offset < 0 or storage.offset + storage.nbytes > self.schedule.arena_bytes:
                raise ScheduleError(f"'{storage.name}' lies outside of the arena")
            if storage.offset % ALIGNMENT:
                raise ScheduleError(f"'{storage.name}' is not aligned to {ALIGNMENT}")
        for value, name in self.schedule.storage_of.items():
            tensor, storage = self.tensors[value], self.schedule.storages[name]
            ring, held = self.schedule.rings.get(value), tensor.nbytes
            if ring is not None:
                period, *slots = ring.table
                if (
                    not 0 < period == len(slots) <= _MOST_SLOTS
                    or tuple(slots[y % period] for y in range(tensor.rows)) != ring.slots
                    or not 0 <= min(slots) <= max(slots) < _MOST_SLOTS
                ):
                    raise ScheduleError(f"'{value}' has slots that no table of the C can hold")
                held = (1 + max(slots)) * tensor.row_bytes
            if storage.nbytes < held:
                raise ScheduleError(f"'{name}' is too small for '{value}'")

    def run(self) -> Verdict:
        graph = self.schedule.graph
        made = {kernel.output for kernel in self.schedule.kernels}
        inputs = [name for name in graph.inputs if name not in made]  # others are fed row by row
        before = [*self.schedule.initial_value.values(), *inputs]
        for name in before:  # the caller brings all of an input, also rows that nothing reads
            self._write(name, 0, self.tensors[name].rows)
        for name in before:
            self._expect(name, 0, self.tensors[name].rows, "before the first step")
        for number, step in enumerate(self.schedule.steps):
            self._step(number, step)
        end = "after the last step"
        for name in (*graph.outputs, *self.schedule.final_value.values()):
            self._expect(name, 0, self.tensors[name].rows, end)
        for kernel, done in zip(self.schedule.kernels, self.rows_done, strict=True):
            rows = rows_of(graph, kernel)
            if done != rows:
                raise ScheduleError(f"'{kernel.output}' has {done} of {rows} rows computed")
        self._check_control()
        return Verdict({name: self._intact(name) for name in graph.inputs})

    def _check_control(self) -> None:
        """The counters live between steps: nothing else may ever have been written there."""
        control = self.schedule.storages.get(CONTROL)
        if control is not None:
            cells = slice(control.offset, control.offset + control.nbytes)
            if self.touched[cells].any():
                raise ScheduleError("the counters of the steps were overwritten")

    # ---- one step ----------------------------------------------------------------------------

    def _step(self, number: int, step: Step) -> None:
        kernel = self.schedule.kernels[step.kernel]
        place = f"step {number} ({kernel.kind} '{kernel.name}')"
        rows = rows_of(self.schedule.graph, kernel)
        if self.rows_done[step.kernel] != step.y_begin or not step.y_begin < step.y_end <= rows:
            raise ScheduleError(f"{place}: rows {step.y_begin}..{step.y_end} are out of turn")
        if kernel.kind == FEED and step.y_end - step.y_begin != 1:
            raise ScheduleError(f"{place}: the caller brings one row at a time")
        if kernel.band == "whole" and (step.y_begin, step.y_end) != (0, rows):
            raise ScheduleError(f"{place}: a kernel that needs all rows at once got a band")
        scratch = self._scratch(step, kernel, place)
        self._band_apart(kernel, step, place)
        fresh = [0] * len(kernel.reads)  # by read: rows below this were found sound in this step
        for y in range(step.y_begin, step.y_end):
            self._row(kernel, y, y == rows - 1, scratch, fresh, f"{place}, row {y}")
        self.rows_done[step.kernel] = step.y_end

    def _scratch(self, step: Step, kernel: Kernel, place: str) -> Spans:
        """The scratch's bytes. They are garbage from the start of a step; a reducer finds its own
        in each step as it left them in the last."""
        if not kernel.scratch_bytes:
            return []
        storage = self.schedule.scratch(step.kernel)
        if storage is None or storage.nbytes < kernel.scratch_bytes:
            raise ScheduleError(f"{place}: its scratch has no place")
        low, high = storage.offset, storage.offset + storage.nbytes
        content = _GARBAGE
        if kernel.unit_rows:
            content = -2 - step.kernel
            if step.y_begin and (self.arena[low:high] != content).any():
                raise ScheduleError(f"{place}: what it has summed up so far was overwritten")
        self.arena[low:high] = content
        self.touched[low:high] = True
        return [(low, high)]

    def _written(self, kernel: Kernel, first: int, end: int, last: bool) -> Spans:
        """What the kernel's rows [first, end) write; a reducer writes all in its last row."""
        if kernel.unit_rows:
            first, end = 0, self.tensors[kernel.output].rows if last else 0
        return self._spans(kernel.output, first, end)

    def _band_apart(self, kernel: Kernel, step: Step, place: str) -> None:
        """What a band reads under the contract "none", or needs whole, may not lie where it
        writes."""
        last = step.y_end == rows_of(self.schedule.graph, kernel)
        written = self._written(kernel, step.y_begin, step.y_end, last)
        for read in kernel.reads:
            if read.overlap.mode == "none" or read.window is None:
                source = self.tensors[read.tensor]
                first = window_rows(read, source, step.y_begin)[0]
                end = window_rows(read, source, step.y_end - 1)[1]
                if _meet(written, self._spans(read.tensor, first, end)):
                    raise ScheduleError(
                        f"{place}: '{kernel.output}' may not lie over '{read.tensor}'"
                    )

    def _row(
        self, kernel: Kernel, y: int, last: bool, scratch: Spans, fresh: list[int], place: str
    ) -> None:
        written = self._written(kernel, y, y + 1, last)
        if _meet(written, scratch):
            raise ScheduleError(f"{place}: its scratch lies over its output '{kernel.output}'")
        for i, read in enumerate(kernel.reads):
            first, end = window_rows(read, self.tensors[read.tensor], y)
            if first >= end:
                continue
            self._expect(read.tensor, max(first, fresh[i]), end, place)
            cells = self._spans(read.tensor, first, end)
            met = _meet(written, cells)
            if met and not self._units_safe(read, kernel, written, cells):
                raise ScheduleError(
                    f"{place}: '{kernel.output}' is written over a row of '{read.tensor}' that it "
                    "still reads"
                )
            fresh[i] = first if met else end  # rows that stay sound for the next row
        if kernel.unit_rows:
            if last:
                self._write(kernel.output, 0, self.tensors[kernel.output].rows)
        else:
            self._write(kernel.output, y, y + 1)

    def _units_safe(self, read: Read, kernel: Kernel, written: Spans, cells: Spans) -> bool:
        """Whether each output unit ends below the next input unit, for the units of one row."""
        if kernel.unit_rows or not is_elementwise(read, self.tensors[kernel.output]):
            return False
        unit_in, unit_out = read.overlap.input_unit, read.overlap.output_unit
        (write, _), (low, high) = written[0], cells[0]
        last = (high - low) // unit_in - 2  # both sides are linear in u: the ends decide
        return all(
            write + (u + 1) * unit_out <= low + (u + 1) * unit_in for u in (0, last) if last >= 0
        )

    # ---- bytes and tags ------------------------------------------------------------------------

    def _spans(self, tensor: str, first: int, end: int) -> Spans:
        """Where rows [first, end) of a tensor lie."""
        row_bytes = self.tensors[tensor].row_bytes
        if first >= end:
            return []
        if self.schedule.ring(tensor) is None:
            start = self.schedule.storage(tensor).offset
            return [(start + first * row_bytes, start + end * row_bytes)]
        starts = (self.schedule.row_offset(tensor, y) for y in range(first, end))
        return [(low, low + row_bytes) for low in starts]

    def _tags(self, tensor: str, first: int, end: int) -> NDArray[np.int64]:
        row_bytes = self.tensors[tensor].row_bytes
        number = self.numbers[self.schedule.value_of[tensor]]
        return (number << _VALUE_SHIFT) + np.arange(first * row_bytes, max(first, end) * row_bytes)

    def _write(self, tensor: str, first: int, end: int) -> None:
        tags, at = self._tags(tensor, first, end), 0
        for low, high in self._spans(tensor, first, end):
            self.arena[low:high] = tags[at : at + high - low]
            self.touched[low:high] = True
            at += high - low

    def _expect(self, tensor: str, first: int, end: int, place: str) -> None:
        tags, at = self._tags(tensor, first, end), 0
        for low, high in self._spans(tensor, first, end):
            wrong = np.flatnonzero(self.arena[low:high] != tags[at : at + high - low])
            if wrong.size:
                byte = first * self.tensors[tensor].row_bytes + at + int(wrong[0])
                held = int(self.arena[low + wrong[0]])
                holder = "nothing" if held < 0 else f"'{list(self.numbers)[held >> _VALUE_SHIFT]}'"
                raise ScheduleError(
                    f"{place}: byte {byte} of '{tensor}' was overwritten or never written; arena "
                    f"byte {low + int(wrong[0])} holds {holder}"
                )
            at += high - low

    def _intact(self, tensor: str) -> bool:
        if self.schedule.ring(tensor) is not None:
            return False
        ((low, high),) = self._spans(tensor, 0, self.tensors[tensor].rows)
        return bool(
            (self.arena[low:high] == self._tags(tensor, 0, self.tensors[tensor].rows)).all()
        )


def _meet(a: Spans, b: Spans) -> bool:
    return any(low < end and begin < high for low, high in a for begin, end in b)
