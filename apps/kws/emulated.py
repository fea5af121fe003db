"""The keyword firmware on an emulated board. It stands at the edge, beside the commands: it is all
that looks from here into `tools`, for the emulator and its meter."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thumbnet.apps.audio.host import checked_pcm
from thumbnet.apps.kws.detector import DetectorSettings
from thumbnet.apps.kws.listener import HOP_SECONDS, Heard, firmware
from thumbnet.apps.kws.model_files import read_facts
from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.firmware import Firmware
from thumbnet.codegen.targets import board as board_named
from thumbnet.tools.emulator import find_qemu, meter_plugin

PARTS = {  # what the meter tells apart
    "front_end": "tn_listener_hear",
    "network": "tn_listener_run",
    "detector": "tn_listener_decide",
}
_WORD = re.compile(r"^(\d+\.\d{3}) s  (.+)  (\d\.\d\d)$")
_SUMMARY = re.compile(r"^thumbnet: hops=(\d+) runs=(\d+) words=(\d+) stack=(\d+)$")


@dataclass(frozen=True)
class Costs:
    """Of the linked image and of the run. Cycles are estimates, per second of sound."""

    on: str
    sram: int  # all that is taken when linked: stack, data, bss
    stack: int  # of it
    stack_used: int  # the deepest use seen, of what is called for a hop
    flash: int
    weights: int  # of it: constant arrays of the network and the front end
    cycles: dict[str, int] | None  # by part, and "all"; None when not metered

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, eq=False)
class EmulatedRun:
    """What the firmware said of a recording. `posteriors` [runs, classes]."""

    heard: list[Heard]
    posteriors: NDArray[np.int8]
    costs: Costs


def emulate_listener(
    model: Path,
    settings: DetectorSettings,
    samples: NDArray[np.int16],
    on: str,
    *,
    meter: bool = True,
    timeout: float = 600.0,
    tell: Callable[[Heard], None] | None = None,
    work_dir: Path | None = None,
) -> EmulatedRun:
    """Plays int16 samples [n] into the firmware on board `on`; `tell` is given each word at once.

    `timeout` is in seconds. Raises ToolError when a tool is missing or the firmware fails.
    """
    board = board_named(on)
    if not board.emulated or board.machine is None or board.runner != "files":
        raise ToolError(f"board '{on}' has no files: choose an emulated one that has")
    image = firmware(model, settings, board, work_dir)
    with tempfile.TemporaryDirectory(prefix="thumbnet-listen-") as temporary:
        folder = Path(temporary)
        (folder / "image.elf").symlink_to(image.elf)
        (folder / "image.bin").symlink_to(image.binary)
        (folder / "sound.pcm").write_bytes(checked_pcm(samples).astype("<i2").tobytes())
        command = [
            find_qemu(), "-M", board.machine, "-display", "none", "-monitor", "none", "-serial",
            "stdio", "-nic", "none", "-semihosting-config", "enable=on,target=native", "-kernel",
            "image.elf",
        ]  # fmt: skip
        if meter:
            (folder / "meter.so").symlink_to(meter_plugin(work_dir))
            entries = "".join(f"{image.functions[symbol]:#x}\n" for symbol in PARTS.values())
            (folder / "layers.txt").write_text(entries, encoding="ascii")
            command += ["-plugin", _meter_option(image)]
        lines, status = _run(command, folder, timeout, tell)
        summary = next((m for line in lines if (m := _SUMMARY.match(line))), None)
        if status != 0 or summary is None:
            said = " | ".join(lines[-4:]) or "nothing was printed"
            raise ToolError(f"the keyword firmware on {on}: exit status {status}: {said}")
        posteriors = np.frombuffer((folder / "posteriors.bin").read_bytes(), np.int8)
        hops = int(summary[1])
        cycles = _cycles(folder / "meter.json", hops) if meter and hops else None
    costs = Costs(on, image.sram, image.stack, int(summary[4]), image.flash, image.weights, cycles)
    heard = [h for line in lines if (h := _heard(line)) is not None]
    return EmulatedRun(heard, posteriors.reshape(-1, len(read_facts(model).classes)), costs)


def _meter_option(image: Firmware) -> str:
    begin, end = (image.functions[f"tn_run_{edge}"] for edge in ("begin", "end"))
    return (
        f"./meter.so,begin={begin:#x},end={end:#x},img=image.bin@{image.base:x},out=meter.json,"
        "layers=layers.txt"
    )


def _run(
    command: list[str], folder: Path, timeout: float, tell: Callable[[Heard], None] | None
) -> tuple[list[str], int]:
    """The console's lines and the exit status."""
    try:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip
    except OSError as error:
        raise ToolError(f"cannot start {command[0]}: {error.strerror}") from error
    expired: list[bool] = []

    def expire() -> None:
        expired.append(True)
        process.kill()

    timer = Timer(timeout, expire)
    timer.start()
    lines = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip("\r\n"))
            heard = _heard(lines[-1])
            if tell is not None and heard is not None:
                tell(heard)
        status = process.wait()
    finally:
        timer.cancel()
        process.kill()
        process.wait()
    if expired:
        raise ToolError(f"the keyword firmware: no end after {timeout:g} s")
    return lines, status


def _heard(line: str) -> Heard | None:
    found = _WORD.match(line)
    return Heard(float(found[1]), found[2], float(found[3])) if found else None


def _cycles(path: Path, hops: int) -> dict[str, int]:
    """The mean of all hops, a second of sound."""
    try:
        regions = [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
    except (OSError, ValueError) as error:
        raise ToolError(f"the meter gave no figures: {error}") from error
    if len(regions) != hops:
        raise ToolError(f"the meter gave figures of {len(regions)} hops, not of {hops}")
    second = 1 / (hops * HOP_SECONDS)
    result = {
        part: round(sum(region["layers"][i]["cycles"] for region in regions) * second)
        for i, part in enumerate(PARTS)
    }
    return {**result, "all": round(sum(region["cycles"] for region in regions) * second)}
