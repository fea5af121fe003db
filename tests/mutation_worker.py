"""Compiles many mutants in one process with little memory and time, for test_mutated_models.py.

    python tests/mutation_worker.py FOLDER FIRST COUNT KEEP [MODEL...]

Cases FIRST, FIRST + 1, ... of `mutations.mutant`, over the samples and the files MODEL.
FOLDER/report.json: {"refused", "compiled", "failures": [[number, what was done, what came of it]],
"kept": [numbers]}. Up to KEEP compiled models whose C is not that of another are left in FOLDER/N/,
each with its model.tflite.
"""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import signal
import sys
import traceback
from pathlib import Path

from mutations import Base, bases_of, mutant
from sample_models import SAMPLES
from thumbnet.codegen.compile import Options, compile_model
from thumbnet.codegen.errors import ScheduleError, ThumbnetError

CPU_SECONDS = 2.0
ADDRESS_SPACE = 1 << 30  # beyond what this process has at the start
RESIDENT_GROWTH = 64 << 10  # KiB that one case may add


class _TooLong(BaseException):
    """A case used CPU_SECONDS."""


def _stop(_signal: int, _frame: object) -> None:
    raise _TooLong


def _used(field: str) -> int:
    """A memory figure of this process in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    return 0


def _attempt(model: Path, out: Path, name: str) -> tuple[str, str]:
    """("refused" | "compiled" | "failed", detail)."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        compile_model(model, out, Options(target="host", name=name))
        outcome = "compiled", ""
    except ScheduleError as error:
        outcome = "failed", f"the checker refuted the schedule: {error}"
    except ThumbnetError as error:
        outcome = ("refused", str(error)) if str(error) else ("failed", "an empty message")
    except _TooLong:
        outcome = "failed", f"more than {CPU_SECONDS:g} s"
    except BaseException:
        outcome = "failed", traceback.format_exc(limit=-4)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if growth > RESIDENT_GROWTH:
        outcome = "failed", f"took {growth >> 10} MiB more memory ({outcome[0]})"
    return outcome


def main(folder: Path, first: int, count: int, keep: int, models: list[Path]) -> None:
    bases = bases_of(SAMPLES) + [Base(path.stem, path.read_bytes()) for path in models]
    known: set[str] = set()
    report: dict[str, object] = {}
    failures: list[tuple[int, str, str]] = []
    kept: list[int] = []
    counts = {"refused": 0, "compiled": 0, "failed": 0}
    signal.signal(signal.SIGPROF, _stop)
    space = (_used("VmSize") << 10) + ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    for index, base in enumerate(bases):  # their own C is not worth keeping
        _compile_case(folder, f"base{index}", base.data, known)
    for number in range(first, first + count):
        what, data = mutant(bases, number)
        outcome, detail, fresh = _compile_case(folder, f"m{number}", data, known)
        counts[outcome] += 1
        if outcome == "failed":
            failures.append((number, what, detail))
        if fresh and len(kept) < keep:
            kept.append(number)
        else:
            shutil.rmtree(folder / f"m{number}", ignore_errors=True)
    report |= {**counts, "failures": failures, "kept": kept}
    (folder / "report.json").write_text(json.dumps(report))


def _compile_case(folder: Path, name: str, data: bytes, known: set[str]) -> tuple[str, str, bool]:
    """Outcome, detail, and whether the C is new."""
    model = folder / "model.tflite"
    model.write_bytes(data)
    out = folder / name
    outcome, detail = _attempt(model, out, name)
    if outcome != "compiled":
        if out.exists():
            return "failed", f"{detail}; left a folder behind", False
        return outcome, detail, False
    text = (out / f"{name}.c").read_text().replace(name, "NAME")
    digest = hashlib.sha256(text.encode()).hexdigest()
    fresh = digest not in known
    known.add(digest)
    (out / "model.tflite").write_bytes(data)
    return outcome, detail, fresh


if __name__ == "__main__":
    main(Path(sys.argv[1]), *(int(a) for a in sys.argv[2:5]), [Path(a) for a in sys.argv[5:]])
