"""`python -m thumbnet.apps.face_unlock COMMAND`: each command is a function of a module."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

COMMANDS = {
    "train": ("train.main", "a network on a folder of pictures per identity"),
    "export": ("export.main", "a trained network in int8, the threshold, and C"),
    "evaluate": (
        "evaluate.main",
        "how well a network tells whether two pictures are of one person",
    ),
    "firmware": ("lock_commands.firmware", "the lock as an image of a board"),
    "enroll": ("lock_commands.enroll", "makes someone a user of a lock, from pictures"),
    "list": ("lock_commands.list_users", "the users of a lock"),
    "delete": ("lock_commands.delete", "takes a user away"),
    "attempt": ("lock_commands.attempt", "shows pictures to a lock"),
    "unlock": ("lock_commands.attempt", "the same"),
    "scenario": ("scenario.main", "three users and many others before an emulated lock"),
    "picture": ("picture.main", "a frame, the crop, the score and the decision, as a picture"),
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
    module, function = COMMANDS[words[0]][0].split(".")
    command = getattr(import_module(f"thumbnet.apps.face_unlock.{module}"), function)
    return int(command(words[1:]))


def _usage() -> str:
    lines = ["usage: python -m thumbnet.apps.face_unlock COMMAND [--help] …", ""]
    return "\n".join(lines + [f"  {name:9} {what}" for name, (_, what) in COMMANDS.items()])


if __name__ == "__main__":
    sys.exit(main())
