"""manifest.json: what a compiled folder says of itself, read back by everything that uses it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from thumbnet.codegen.errors import DataError

FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class EdgeEntry:
    """One input or output of the generated C. `float`: the source model had float32 there."""

    name: str
    accessor: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    offset: int  # bytes into the arena; of no meaning where the input is fed row by row
    scale: float  # the exact float32 value
    zero_point: int
    float: bool


@dataclass(frozen=True)
class LayerEntry:
    """One layer function; `symbol` is its name in the generated C."""

    symbol: str
    name: str
    op: str
    macs: int
    weights_bytes: int
    form: str = ""  # what its kernel's form is called, where that is not the usual one


@dataclass(frozen=True)
class Manifest:
    """All that is known of a compiled model. `code_bytes`, `stack_bytes` and `compiler` are None
    when the target's compiler was absent or the target is the host."""

    thumbnet: str
    name: str
    model: str  # file name of the source model
    target: str
    optimize: str
    macs: int
    arena_bytes: int
    arena_lower_bound: int
    peak_layer: str  # the layer during which most bytes live
    weights_bytes: int
    weights_crc: int
    code_bytes: int | None
    stack_bytes: int | None
    compiler: str | None
    flags: tuple[str, ...]
    state: bool
    row_fed: bool  # the input comes through NAME_feed
    stepper: bool  # there are NAME_begin and NAME_step
    longest_step_cycles: int | None  # an estimate; None where there are no steps to call
    inputs: tuple[EdgeEntry, ...]
    outputs: tuple[EdgeEntry, ...]
    layers: tuple[LayerEntry, ...]
    sources: tuple[str, ...]
    headers: tuple[str, ...]
    packaging: tuple[str, ...] = ()  # build files of others: CMake, Zephyr ...
    window_rows: int = 0  # of a streamed model: rows of the window that its outputs belong to

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"


def read_manifest(folder: Path) -> Manifest:
    """Reads FOLDER/manifest.json. Raises DataError when it is not a folder that compile wrote."""
    path = folder / FILE_NAME
    try:
        table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return Manifest(
            **{
                **table,
                "flags": tuple(table["flags"]),
                "inputs": tuple(_edge(e) for e in table["inputs"]),
                "outputs": tuple(_edge(e) for e in table["outputs"]),
                "layers": tuple(LayerEntry(**entry) for entry in table["layers"]),
                "sources": tuple(table["sources"]),
                "headers": tuple(table["headers"]),
                "packaging": tuple(table.get("packaging", ())),
            }
        )
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} has no {FILE_NAME}: give a model file, or a folder that "
            "'thumbnet compile' wrote"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} cannot be read ({error}); compile the model again") from error


def _edge(entry: dict[str, Any]) -> EdgeEntry:
    return EdgeEntry(**{**entry, "shape": tuple(entry["shape"])})
