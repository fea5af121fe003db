"""Runs an image on an emulated board (qemu-system-arm) and reads back outputs and figures.

The meter (`tools/meter/meter.c`) is built on demand with the host's C compiler. Everything of one
run lives in a temporary folder, which is QEMU's current folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from thumbnet.codegen.build_cache import cached
from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.image import Image
from thumbnet.codegen.manifest import Manifest
from thumbnet.codegen.targets import Board
from thumbnet.codegen.toolchain import host_compiler
from thumbnet.tools.board_run import BoardRun, LayerFigures, check_calls
from thumbnet.tools.link import Link
from thumbnet.tools.transport import SocketTransport

_METER_SOURCE = Path(__file__).resolve().parent / "meter" / "meter.c"
_START_SECONDS = 20.0  # until QEMU has connected, or has ended
_SUMMARY = re.compile(
    r"^thumbnet: calls=(\d+) stack=(\d+) init_stack=(\d+) canaries=(ok|broken)\r?$", re.MULTILINE
)


def find_qemu() -> str:
    """qemu-system-arm: THUMBNET_QEMU, or the PATH. Else ToolError."""
    override = os.environ.get("THUMBNET_QEMU")
    found = shutil.which(override or "qemu-system-arm")
    if found is None:
        if override:
            raise ToolError(f"THUMBNET_QEMU names '{override}', which is not a program")
        raise ToolError(
            "qemu-system-arm is missing: install it (Debian, Ubuntu: sudo apt-get install "
            "qemu-system-arm) or name it in THUMBNET_QEMU"
        )
    return found


def meter_plugin(work_dir: Path | None = None) -> Path:
    """The meter as a QEMU plugin. Raises ToolError when the host has no C compiler."""
    compiler = host_compiler()
    flags = ("-std=c11", "-O2", "-shared", "-fPIC")

    def build(folder: Path) -> None:
        command = [compiler, *flags, str(_METER_SOURCE), "-o", "meter.so"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ToolError(f"the meter cannot be built: {done.stderr.strip()[:300]}")

    return cached(work_dir, "meter", (compiler, *flags, _METER_SOURCE), build) / "meter.so"


def _split_outputs(manifest: Manifest, data: bytes, calls: int) -> tuple[tuple[bytes, ...], ...]:
    sizes = [edge.bytes for edge in manifest.outputs]
    if len(data) != calls * sum(sizes):
        raise ToolError(
            f"model '{manifest.name}': {len(data)} bytes of outputs came back, not "
            f"{calls} x {sum(sizes)}"
        )
    result = []
    at = 0
    for _ in range(calls):
        call = []
        for size in sizes:
            call.append(data[at : at + size])
            at += size
        result.append(tuple(call))
    return tuple(result)


def _last_lines(console: str) -> str:
    lines = [line.strip() for line in console.splitlines()]
    lines = [line for line in lines if line and ": warning: " not in line]
    return " | ".join(lines[-4:]) if lines else "nothing was printed"


def _failure(status: int, console: str, board: Board) -> str:
    """Why QEMU ended with a status other than 0, and the console's last lines."""
    said = _last_lines(console)
    if "stack overflow" in console:
        return f"stack overflow: {said}"
    if "Lockup" in console:
        shown = next(line for line in console.splitlines() if "Lockup" in line).strip()
        return (
            f"the core locked up, most likely because the stack of {board.stack} bytes overflowed: "
            f"{shown}"
        )
    if status < 0:
        return f"QEMU was ended by signal {-status}: {said}"
    return f"exit status {status}: {said}"


def emulate(
    image: Image,
    board: Board,
    manifest: Manifest,
    calls: Sequence[Sequence[bytes]],
    *,
    profile: bool = False,
    timeout: float = 600.0,
    meter: bool = True,
    work_dir: Path | None = None,
) -> BoardRun:
    """Runs `calls` (each the raw bytes of every input) in one QEMU process, state carried over.

    `cycles` is the meter's model A: an estimate for a Cortex-M4 without wait states, on every
    board, also where the board's core is another. `meter` False leaves it out and runs faster.
    `timeout` is in seconds. Raises ToolError for a missing emulator, a fault, a stack overflow or a
    hang, with the console's last lines; DataError for inputs of the wrong size.
    """
    name = manifest.name
    if not board.emulated or board.machine is None:
        raise ToolError(f"board '{board.name}' is not emulated: choose an emulated one to run on")
    check_calls(manifest, calls)
    with tempfile.TemporaryDirectory(prefix="thumbnet-run-") as temporary:
        # QEMU's option syntax gives commas and spaces a meaning: only plain relative names are used
        folder = Path(temporary)
        (folder / "image.elf").symlink_to(image.elf)
        (folder / "image.bin").symlink_to(image.binary)
        command = [
            find_qemu(), "-M", board.machine, "-display", "none", "-monitor", "none",
            "-nic", "none", "-kernel", "image.elf",
        ]  # fmt: skip
        if meter:
            command += _meter_options(folder, image, profile, work_dir)
        try:
            if board.runner == "link":
                run = _run_over_link(command, folder, manifest, calls, timeout)
            else:
                run = _run_over_files(command, folder, board, manifest, calls, timeout)
        except OSError as error:
            raise ToolError(f"cannot start {command[0]}: {error.strerror}") from error
        if not meter:
            return run
        figures = _read_meter(folder / "meter.json", name, len(calls))
    layers = None
    if profile:
        layers = tuple(
            LayerFigures(symbol, each["instructions"], each["cycles"])
            for (symbol, _), each in zip(image.layers, figures["layers"], strict=True)
        )
    return replace(
        run, instructions=figures["instructions"], cycles=figures["cycles"], layers=layers
    )


def _meter_options(
    folder: Path, image: Image, profile: bool, work_dir: Path | None
) -> tuple[str, ...]:
    (folder / "meter.so").symlink_to(meter_plugin(work_dir))
    option = (
        f"./meter.so,begin={image.run_begin:#x},end={image.run_end:#x},"
        f"img=image.bin@{image.base:x},out=meter.json"
    )
    if profile:
        entries = "".join(f"{address:#x}\n" for _, address in image.layers)
        (folder / "layers.txt").write_text(entries, encoding="ascii")
        option += ",layers=layers.txt"
    return "-plugin", option


def _run_over_files(
    command: Sequence[str],
    folder: Path,
    board: Board,
    manifest: Manifest,
    calls: Sequence[Sequence[bytes]],
    timeout: float,
) -> BoardRun:
    """The runner reads and writes files of this machine (ports/runner/files.c)."""
    name = manifest.name
    (folder / "inputs.bin").write_bytes(b"".join(data for call in calls for data in call))
    semihosting = ("-serial", "stdio", "-semihosting-config", "enable=on,target=native")
    try:
        done = subprocess.run(
            (*command, *semihosting), cwd=folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as expired:
        said = _last_lines((expired.stdout or b"").decode("utf-8", "replace"))
        raise ToolError(
            f"model '{name}' on {board.name}: no end after {timeout:g} s ({len(calls)} calls): "
            f"{said}"
        ) from expired
    console = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0:
        raise ToolError(
            f"model '{name}' on {board.name}: {_failure(done.returncode, console, board)}"
        )
    summary = _SUMMARY.search(console)
    if summary is None or int(summary[1]) != len(calls):
        raise ToolError(
            f"model '{name}' on {board.name}: the firmware gave no complete report of "
            f"{len(calls)} calls: {_last_lines(console)}"
        )
    return BoardRun(
        outputs=_split_outputs(manifest, (folder / "outputs.bin").read_bytes(), len(calls)),
        instructions=None,
        cycles=None,
        layers=None,
        stack_bytes=int(summary[2]),
        init_stack_bytes=int(summary[3]),
        canaries_ok=summary[4] == "ok",
    )


def _run_over_link(
    command: Sequence[str],
    folder: Path,
    manifest: Manifest,
    calls: Sequence[Sequence[bytes]],
    timeout: float,
) -> BoardRun:
    """The runner is driven through the emulated UART (ports/runner/link.c)."""
    with started_with_uart(command, folder) as transport:
        link = Link(transport, command[2], run_seconds=timeout)
        return replace(link.run(manifest, calls), cycles=None)  # the emulated counter is no clock


@contextmanager
def started_with_uart(command: Sequence[str], folder: Path) -> Iterator[SocketTransport]:
    """QEMU running in `folder`, its first UART at the other end of what is given. Ended at the end,
    so that its plugins write what they have. Raises ToolError when it does not start."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        port = server.getsockname()[1]
        uart = (
            "-chardev",
            f"socket,id=uart,host=127.0.0.1,port={port},nodelay=on",
            "-serial",
            "chardev:uart",
        )
        process = subprocess.Popen(
            (*command, *uart), cwd=folder, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            connection = _accepted(server, process)
            if connection is None:
                process.kill()
                said = _last_lines(process.communicate()[0].decode("utf-8", "replace"))
                raise ToolError(f"{command[0]} does not start: {said}")
            with connection:
                try:
                    yield SocketTransport(connection, f"{command[2]} in QEMU")
                except ToolError as error:
                    if process.poll() is None:
                        raise
                    said = _last_lines(process.communicate()[0].decode("utf-8", "replace"))
                    raise ToolError(f"{error}; QEMU ended: {said}") from error
        finally:
            process.terminate()
            try:
                process.communicate(timeout=_START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def _accepted(server: socket.socket, process: subprocess.Popen[bytes]) -> socket.socket | None:
    """QEMU's connection; None where it ends or does not come."""
    end = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < end:
        with suppress(TimeoutError):
            return server.accept()[0]
    return None


def _read_meter(path: Path, name: str, calls: int) -> dict[str, Any]:
    """The meter's figures of the last region."""
    try:
        regions = path.read_text(encoding="ascii").splitlines()
        if len(regions) != calls:
            raise ValueError(f"{len(regions)} regions of {calls} calls")
        last = json.loads(regions[-1])
    except (OSError, ValueError) as error:
        raise ToolError(f"model '{name}': the meter gave no figures: {error}") from error
    return dict(last)
