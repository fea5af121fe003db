"""How the commands of the keyword application end when something is wrong: one line, no remains."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from thumbnet.apps.kws.__main__ import main
from thumbnet.apps.kws.model_files import COMMITTED, read_weights, write_weights
from thumbnet.codegen.errors import ModelFormatError, ToolError
from thumbnet.codegen.files import replacing


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "a" / "file"
    with replacing(file) as partial:
        partial.write_text("first")
    with pytest.raises(ValueError, match="no"), replacing(file) as partial:
        partial.write_text("second, not finished")
        raise ValueError("no")
    assert file.read_text() == "first"
    assert [path.name for path in file.parent.iterdir()] == ["file"]
    with pytest.raises(ToolError, match="cannot write"), replacing(file / "below a file"):
        pass


def test_no_room_is_told(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("there is no /dev/full")
    with pytest.raises(ToolError, match="No space left"), replacing(tmp_path / "file"):
        full.write_text("x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(value: float, tmp_path: Path) -> None:
    weights = read_weights(COMMITTED)
    name = next(n for n, array in weights.items() if array.dtype.kind == "f")
    weights[name] = weights[name].copy()
    weights[name].flat[0] = value
    write_weights(tmp_path, weights)
    with pytest.raises(ModelFormatError, match=f"kws.npz: '{name}'"):
        read_weights(tmp_path)


@pytest.mark.parametrize(
    "words",
    [
        ("train", "--data", "x", "--out", "y", "--seed", "-1"),
        ("evaluate-stream", "--data", "x", "--minutes", "0"),
        ("evaluate-stream", "--data", "x", "--hours", "nan"),
        ("evaluate-stream", "--data", "x", "--hours", "-1"),
    ],
)
def test_numbers_that_make_no_sense_are_wrong_usage(words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2


def test_an_operating_system_that_refuses_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    shutil.copy(COMMITTED / "kws.json", tmp_path)
    status = main(["evaluate", "--data", str(tmp_path / "file" / "x"), "--json"])
    told = capsys.readouterr()
    assert status == 1 and told.err.count("\n") == 1 and "Traceback" not in told.err
    assert json.loads(told.out)["error"]["message"]
