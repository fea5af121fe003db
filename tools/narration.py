"""What a long command says of itself on stderr: what it does, how far it is, how long it will take.

On a terminal the newest line about progress replaces the one before, beside a spinner and the time
of the stage; elsewhere each line is printed, with the stage before it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from thumbnet.nas.progress import duration

_PASSING = " left"  # how a line ends that the next one may replace


class Narration:
    """`line` is what stages are given as their progress. With `silent`, nothing is said."""

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._stage = ""
        self._bar: tuple[Progress, TaskID] | None = None

    def line(self, text: str) -> None:
        """Says one line."""
        if self._silent:
            return
        if not self._console.is_terminal:
            print(f"{self._stage}: {text}" if self._stage else text, file=sys.stderr, flush=True)
        elif self._bar is not None and text.endswith(_PASSING):
            progress, task = self._bar
            progress.update(task, description=f"[bold]{self._stage}[/bold]  {escape(text)}")
        else:
            self._console.print(f"[dim]  {escape(text)}[/dim]")

    @contextmanager
    def stage(self, name: str, aim: str) -> Iterator[None]:
        """A stage of the work, which is timed."""
        began, self._stage = time.monotonic(), name
        if self._silent or not self._console.is_terminal:
            self.line(aim)
            yield
            self.line(f"done in {duration(time.monotonic() - began)}")
        else:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            with Progress(*columns, console=self._console, transient=True) as progress:
                task = progress.add_task(f"[bold]{name}[/bold]  {escape(aim)}", total=None)
                self._bar = progress, task
                try:
                    yield
                finally:
                    self._bar = None
            spent = duration(time.monotonic() - began)
            self._console.print(f"[green]✓[/green] [bold]{name}[/bold]  {escape(aim)}, {spent}")
        self._stage = ""
