"""The `thumbnet` command as a process of its own, for tests of what people and scripts see."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_PROGRAM = "import sys; from thumbnet.tools.cli import main; sys.argv[0] = 'thumbnet'; main()"


def thumbnet(
    folder: Path,
    *words: object,
    env: Mapping[str, str] | None = None,
    before: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs the command in `folder`; `before` runs in the new process first."""
    return subprocess.run(
        [sys.executable, "-c", _PROGRAM, *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        preexec_fn=before,
    )


def result_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON object on stdout of a command that succeeded with --json."""
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    return dict(json.loads(done.stdout))


def refusal_of(done: subprocess.CompletedProcess[str], status: int = 1) -> tuple[str, str]:
    """(kind, message) of a refusal with --json, after checks that hold for every refusal."""
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    lines = done.stderr.splitlines()
    assert len(lines) == 1, lines
    answer = json.loads(done.stdout)
    assert list(answer) == ["error"]
    assert list(answer["error"]) == ["kind", "message"]
    assert lines[0] == f"thumbnet: {answer['error']['message']}"
    return answer["error"]["kind"], answer["error"]["message"]
