"""Thumbnet packs a trained neural network into a microcontroller.

This folder is the package as Python sees it: one link to each room of the repository (`codegen/`,
`tools/`, `nas/`, `apps/`, `runtime/`, `ports/`). An editable install, mypy, pytest and an
interpreter started in the checkout all find `thumbnet.codegen` through the link, with nothing
installed that rewrites imports; a wheel holds the files themselves. The C sources and the ports are
package data: `importlib.resources.files("thumbnet") / "runtime"` is their folder in both.

    compiled = thumbnet.compile(module, example_inputs, calibration=batches, out_dir="build/net")

takes a PyTorch module to C (codegen/frontends/pytorch/compile.py). Only its use imports torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what editors and mypy see; running, __getattr__ brings it
    from thumbnet.codegen.frontends.pytorch.compile import compile_module

    compile = compile_module

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name != "compile":
        raise AttributeError(f"module 'thumbnet' has no attribute '{name}'")
    from importlib.util import find_spec

    from thumbnet.codegen.errors import ToolError

    if not all(find_spec(package) for package in ("torch", "torchao")):
        raise ToolError("thumbnet.compile needs torch: pip install 'thumbnet[torch]'")
    from thumbnet.codegen.frontends.pytorch.compile import compile_module

    return compile_module
