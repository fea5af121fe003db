"""`python -m thumbnet.apps.audio`: the front end's figures, and its C for firmware."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from thumbnet.apps.audio.host import write_headers
from thumbnet.apps.audio.log_mel import LogMelParameters
from thumbnet.codegen.errors import ThumbnetError

app = typer.Typer(
    help="The log-mel front end.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("bench")
def bench_command(
    on: Annotated[str, typer.Option("--on", help="An emulated board.")] = "mps2-an386",
    speech: Annotated[
        Path | None, typer.Option("--speech", help="A folder of recordings, 16 kHz mono .wav.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Cycles, memory and distance from the float reference."""
    from thumbnet.apps.audio.bench import bench, show

    result = bench(on, speech)
    print(json.dumps(result)) if as_json else show(result)


@app.command("headers")
def headers_command(
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder to write into.")],
) -> None:
    """Writes all that firmware includes."""
    for name in write_headers(out, LogMelParameters()):
        print(out / name)


def main() -> None:
    """The command. A refusal is one line, and as JSON where that was asked for."""
    try:
        app(prog_name="python -m thumbnet.apps.audio")
    except ThumbnetError as error:
        if "--json" in sys.argv:
            print(json.dumps({"error": {"kind": error.kind, "message": str(error)}}))
        else:
            print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
