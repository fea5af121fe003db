"""Compilers: a generated model folder becomes objects, a bound of its stack, or a host library.

Whatever is built is kept in a work folder (`build_cache.py`), so a second request is free.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from thumbnet.codegen.build_cache import cached
from thumbnet.codegen.errors import ToolError
from thumbnet.codegen.manifest import read_manifest
from thumbnet.codegen.stack import read_call_graph, worst_stack
from thumbnet.codegen.targets import Target, c_flags


@dataclass(frozen=True)
class Compiler:
    """arm-none-eabi-gcc: `version` is what it says of itself, in one line."""

    path: str
    objcopy: str
    version: str


def run_tool(command: Sequence[str], cwd: Path, what: str) -> None:
    """Runs a tool; ToolError with the first lines of its complaint when it fails."""
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as error:
        raise ToolError(f"{what}: cannot start {command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        text = done.stderr.strip() or done.stdout.strip()
        telling = re.compile(r"(?<!collect2: )error|overflowed|undefined reference")
        wanted = [line for line in text.splitlines() if telling.search(line)]
        lines = "; ".join((wanted or text.splitlines())[:3])
        raise ToolError(f"{what}: {Path(command[0]).name} failed: {lines}")


# --- compilers -----------------------------------------------------------------------------------


@lru_cache(maxsize=4)
def _arm_compiler(override: str | None) -> Compiler:
    found = shutil.which(override or "arm-none-eabi-gcc")
    if found is None:
        if override:
            raise ToolError(f"THUMBNET_ARM_GCC names '{override}', which is not a program")
        raise ToolError(
            "arm-none-eabi-gcc is missing: install it (Debian, Ubuntu: sudo apt-get install "
            "gcc-arm-none-eabi libnewlib-arm-none-eabi) or name it in THUMBNET_ARM_GCC"
        )
    path = Path(found)
    objcopy = path.with_name(re.sub(r"gcc(?=[^/]*$)", "objcopy", path.name, count=1))
    if not objcopy.exists():
        fallback = shutil.which("arm-none-eabi-objcopy")
        if fallback is None:
            raise ToolError(f"no objcopy beside {path}: install the Arm binutils")
        objcopy = Path(fallback)
    try:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise ToolError(f"{found} --version fails: reinstall it or set THUMBNET_ARM_GCC") from error
    return Compiler(found, str(objcopy), said.stdout.splitlines()[0].strip())


def arm_compiler() -> Compiler:
    """The Arm compiler: THUMBNET_ARM_GCC, or arm-none-eabi-gcc on the PATH. Else ToolError."""
    return _arm_compiler(os.environ.get("THUMBNET_ARM_GCC"))


def has_arm_compiler() -> bool:
    """Whether `arm_compiler` finds one."""
    try:
        arm_compiler()
    except ToolError:
        return False
    return True


def host_compiler() -> str:
    """The host's C compiler: THUMBNET_CC, or cc, gcc or clang on the PATH. Else ToolError."""
    override = os.environ.get("THUMBNET_CC")
    for name in (override,) if override else ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return found
    if override:
        raise ToolError(f"THUMBNET_CC names '{override}', which is not a program")
    raise ToolError(
        "no C compiler for this machine: install one (Debian, Ubuntu: sudo apt-get install gcc) "
        "or name it in THUMBNET_CC"
    )


# --- model folders -------------------------------------------------------------------------------


def _model_files(model_dir: Path) -> list[Path]:
    return sorted(p for p in model_dir.rglob("*") if p.suffix in (".c", ".h") and p.is_file())


def model_key(model_dir: Path) -> list[str | bytes | Path]:
    """What a model's C depends on, as a key of `cached`."""
    key: list[str | bytes | Path] = []
    for path in _model_files(model_dir):
        key += [str(path.relative_to(model_dir)), path]
    return key


def compile_objects(
    model_dir: Path,
    target: Target,
    work_dir: Path | None,
    extra: Sequence[str] = (),
    headers: Sequence[Path] = (),
) -> Path:
    """A folder with the objects (N.o) and call graphs (N.ci) of a model's sources; `headers` are
    those that the `extra` flags bring in."""
    compiler = arm_compiler()
    manifest = read_manifest(model_dir)
    optimised = c_flags(manifest.optimize)
    flags = (*target.cpu_flags, *optimised, "-fcallgraph-info=su", "-I.", *extra)

    def build(folder: Path) -> None:
        for index, source in enumerate(manifest.sources):
            run_tool(
                (compiler.path, *flags, "-c", source, "-o", str(folder / f"{index}.o")),
                model_dir,
                f"model '{manifest.name}' for {target.name}",
            )

    key = [compiler.version, *flags, *manifest.sources, *model_key(model_dir), *headers]
    return cached(work_dir, "model", key, build)


def stack_bound(model_dir: Path, target: Target, work_dir: Path | None = None) -> int:
    """Bytes of stack that NAME_run and NAME_init need at worst, their own frames included.

    Raises ToolError when there is no bound: recursion, calls through pointers, alloca, or a library
    function of unknown stack.
    """
    manifest = read_manifest(model_dir)
    folder = compile_objects(model_dir.resolve(), target, work_dir)
    graph = read_call_graph(sorted(folder.glob("*.ci")), sorted(folder.glob("*.o")))
    roots = [f"{manifest.name}_run_rows" if manifest.row_fed else f"{manifest.name}_run"]
    if manifest.state:
        roots.append(f"{manifest.name}_init")
    return worst_stack(graph, roots)


# --- the host ------------------------------------------------------------------------------------


def host_library(
    model_dir: Path, work_dir: Path | None = None, *, dsp: bool = False, sanitize: bool = False
) -> Path:
    """A shared library of the model for this machine.

    `dsp`: the kernels for the DSP instructions, on their exact C twins. `sanitize`: with the
    address and undefined-behaviour sanitizers, which end the process at the first finding.
    """
    compiler = host_compiler()
    model_dir = model_dir.resolve()
    manifest = read_manifest(model_dir)
    flags = ["-std=c11", "-O2", "-fPIC", "-shared", f"-DTN_DSP={int(dsp)}", "-I."]
    if sanitize:
        flags += ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    name = f"lib{manifest.name}.so"

    def build(folder: Path) -> None:
        run_tool(
            (compiler, *flags, *manifest.sources, "-o", str(folder / name)),
            model_dir,
            f"model '{manifest.name}' for the host",
        )

    key = [compiler, *flags, *manifest.sources, *model_key(model_dir)]
    return cached(work_dir, "host", key, build) / name
