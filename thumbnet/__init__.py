"""Thumbnet packs a trained neural network into a microcontroller.

This folder is the package as Python sees it: one link to each room of the repository (`codegen/`,
`tools/`, `nas/`, `apps/`, `runtime/`, `ports/`). An editable install, mypy, pytest and an
interpreter started in the checkout all find `thumbnet.codegen` through the link, with nothing
installed that rewrites imports; a wheel holds the files themselves. The C sources and the ports are
package data: `importlib.resources.files("thumbnet") / "runtime"` is their folder in both.
"""

__version__ = "0.1.0"
