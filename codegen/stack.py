"""The worst stack of a model's functions, from what gcc says of frames and calls.

Source of the facts: `-fcallgraph-info=su` (one .ci file an object: frames and edges, calls of
libgcc included) and the undefined symbols that the object's code refers to (helpers that only the
assembler names). Leaf calls into libgcc and newlib cost what `LEAF_BYTES` says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from thumbnet.codegen.errors import ToolError

# Upper bounds in bytes, read off the disassembly of libgcc 12.2 and newlib 3.3 (v6-m, v7-m, v7e-m,
# v8-m.main), callees included, and then rounded up.
LEAF_BYTES: Mapping[str, int] = {
    "memcpy": 32,
    "memmove": 32,
    "memset": 32,
    "__aeabi_memcpy": 40,
    "__aeabi_memcpy4": 40,
    "__aeabi_memmove": 40,
    "__aeabi_memset": 40,
    "__aeabi_memclr": 40,
    "__aeabi_idiv": 16,
    "__aeabi_uidiv": 16,
    "__aeabi_idivmod": 32,
    "__aeabi_uidivmod": 32,
    "__aeabi_lmul": 40,
    "__aeabi_ldivmod": 160,
    "__aeabi_uldivmod": 160,
    "__aeabi_llsl": 8,
    "__aeabi_llsr": 8,
    "__aeabi_lasr": 8,
    "__aeabi_lcmp": 8,
    "__aeabi_ulcmp": 8,
    "__clzsi2": 8,
    "__clzdi2": 24,
    "__ctzsi2": 16,
    "__gnu_thumb1_case_sqi": 8,
    "__gnu_thumb1_case_uqi": 8,
    "__gnu_thumb1_case_shi": 8,
    "__gnu_thumb1_case_uhi": 8,
    "__gnu_thumb1_case_si": 8,
}

# Of the runtime's functions in assembly (runtime/*_armv*.h), whose frames gcc does not see. Those
# of depthwise convolutions are named after kernel, stride, lead, tile and `positive`, those of
# several rows after kernel, stride, tile, `positive` and `widened`;
# others that are made for numbers end with _ and these.
ASSEMBLY_BYTES: Mapping[str, int] = {
    "tn_dot_joined": 24,
    **dict.fromkeys(("tn_tile_1", "tn_tile_2", "tn_tile_taps"), 80),
    **dict.fromkeys(("tn_strip_tile", "tn_pointwise_tile"), 64),
    **dict.fromkeys(("tn_unrolled_strip_tile", "tn_unrolled_pointwise_tile"), 64),
    "tn_strip_single": 40,
    "tn_strip_fill": 36,
    "tn_dense_bytes": 60,
    "tn_dense_pairs": 60,
    "tn_row_sums_add": 36,
    "tn_depthwise_conv_2d_fours": 60,
    "tn_depthwise_lanes": 116,
    "tn_winograd_products": 60,
    "tn_winograd_out_2": 44,
    "tn_winograd_out_4": 44,
    **{
        "tn_depthwise_square_" + "".join(map(str, form)): 124
        for form in product((3, 5, 7), (1, 2), (0, 1), range(2, 9), (0, 1))
    },
    **{
        "tn_depthwise_rows_" + "".join(map(str, form)): 124
        for form in product((3, 5, 7), (1, 2), range(2, 9), (0, 1), (0, 1))
    },
}

_NODE = re.compile(r'^node: \{ title: "([^"]*)" label: "([^"]*)"')
_VARIANT = re.compile(r"_[0-9a-f]{8}(_dsp)?(_small)?$")  # TN_VARIANT of runtime/tn_core.h
# words of k, of which each takes 8 bytes
_POINTWISE = re.compile(r"tn_(?:unrolled_)?pointwise_tile_(\d+)_")
_NUMBERS = re.compile(r"(_\d+)+$")
_EDGE = re.compile(r'^edge: \{ sourcename: "([^"]*)" targetname: "([^"]*)"')
_FRAME = re.compile(r"\\n(\d+) bytes \(([a-z,]+)\)")


@dataclass(frozen=True)
class CallGraph:
    """Frames in bytes of the functions that were compiled, and who calls whom."""

    frames: Mapping[str, int]
    calls: Mapping[str, frozenset[str]]


def _short(title: str) -> str:
    return title.rsplit(":", 1)[-1]


def _assembly_bytes(title: str) -> int:
    name = _VARIANT.sub("", _short(title))
    if pointwise := _POINTWISE.match(name):
        return ASSEMBLY_BYTES["tn_pointwise_tile"] + 8 * int(pointwise[1])
    return ASSEMBLY_BYTES.get(name, ASSEMBLY_BYTES.get(_NUMBERS.sub("", name), 0))


def _hidden_calls(obj: Path, known: frozenset[str]) -> dict[str, set[str]]:
    """Function name -> undefined symbols that its section refers to and no edge mentions."""
    found: dict[str, set[str]] = {}
    with obj.open("rb") as file:
        elf = ELFFile(file)
        symbols = elf.get_section_by_name(".symtab")
        if not isinstance(symbols, SymbolTableSection):
            raise ToolError(f"object {obj.name} has no symbol table: it must not be stripped")
        functions: dict[int, list[str]] = {}
        for symbol in symbols.iter_symbols():
            if symbol["st_info"]["type"] == "STT_FUNC" and isinstance(symbol["st_shndx"], int):
                functions.setdefault(symbol["st_shndx"], []).append(symbol.name)
        for section in elf.iter_sections():
            if not isinstance(section, RelocationSection):
                continue
            for relocation in section.iter_relocations():
                symbol = symbols.get_symbol(relocation["r_info_sym"])
                if symbol["st_shndx"] != "SHN_UNDEF" or not symbol.name or symbol.name in known:
                    continue
                for function in functions.get(section["sh_info"], ()):
                    found.setdefault(function, set()).add(symbol.name)
    return found


def read_call_graph(infos: Sequence[Path], objects: Sequence[Path]) -> CallGraph:
    """The call graph of some objects. `infos` are their .ci files.

    Raises ToolError for a frame of unbounded size (alloca, variable-length arrays).
    """
    frames: dict[str, int] = {}
    calls: dict[str, set[str]] = {}
    for info in infos:
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if node := _NODE.match(line):
                if frame := _FRAME.search(node[2]):
                    if frame[2] == "dynamic":
                        raise ToolError(
                            f"function '{_short(node[1])}' has a frame of unknown size (alloca or "
                            "a variable-length array): its stack has no bound"
                        )
                    frames[node[1]] = int(frame[1]) + _assembly_bytes(node[1])
            elif edge := _EDGE.match(line):
                calls.setdefault(edge[1], set()).add(edge[2])
    known = frozenset(name for targets in calls.values() for name in targets) | frozenset(frames)
    by_symbol = {_short(title): title for title in frames}
    for obj in objects:
        for function, helpers in _hidden_calls(obj, known).items():
            calls.setdefault(by_symbol.get(function, function), set()).update(helpers)
    return CallGraph(frames, {name: frozenset(targets) for name, targets in calls.items()})


def functions_called(graph: CallGraph, *names: str) -> list[str]:
    """The functions of these names in the graph, where static ones have their file before them."""
    return [title for title in graph.frames if _short(title) in names]


def worst_stack(graph: CallGraph, roots: Iterable[str]) -> int:
    """Bytes below the stack pointer at the call of any of `roots`, at worst.

    Raises ToolError for recursion, calls through pointers and unknown library functions.
    """
    done: dict[str, int] = {}

    def depth(name: str, path: tuple[str, ...]) -> int:
        if name in done:
            return done[name]
        if name in path:
            loop = " -> ".join(_short(n) for n in (*path[path.index(name) :], name))
            raise ToolError(f"recursion in generated code ({loop}): its stack has no bound")
        if name == "__indirect_call":
            raise ToolError(
                f"function '{_short(path[-1])}' calls through a pointer: its stack has no bound"
            )
        if name not in graph.frames:
            if name not in LEAF_BYTES:
                raise ToolError(
                    f"function '{_short(path[-1]) if path else name}' calls '{name}', whose stack "
                    "is not known: add it to LEAF_BYTES in codegen/stack.py"
                )
            return LEAF_BYTES[name]
        below = (depth(callee, (*path, name)) for callee in graph.calls.get(name, ()))
        done[name] = graph.frames[name] + max(below, default=0)
        return done[name]

    return max((depth(root, ()) for root in roots), default=0)
