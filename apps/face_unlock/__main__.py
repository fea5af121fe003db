"""`python -m thumbnet.apps.face_unlock COMMAND`: each command is a module with a main."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    "train": "a network on a folder of pictures per identity",
    "export": "a trained network in int8, the threshold, and C",
    "evaluate": "how well a network tells whether two pictures are of one person",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 refused with a reason, 2 wrong usage."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] in (["-h"], ["--help"]):
        print(_usage())
        return 0
    if not words or words[0] not in COMMANDS:
        print(_usage(), file=sys.stderr)
        return 2
    command = import_module(f"thumbnet.apps.face_unlock.{words[0]}")
    return int(command.main(words[1:]))


def _usage() -> str:
    lines = ["usage: python -m thumbnet.apps.face_unlock COMMAND [--help] …", ""]
    return "\n".join(lines + [f"  {name:9} {what}" for name, what in COMMANDS.items()])


if __name__ == "__main__":
    sys.exit(main())
