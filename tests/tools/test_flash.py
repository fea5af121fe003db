"""`thumbnet flash`: which tool is asked, with what, and what is said when it fails."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from thumbnet.codegen.errors import DataError, ToolError
from thumbnet.codegen.image import build_image
from thumbnet.codegen.targets import board
from thumbnet.tools import flash as flashing
from thumbnet.tools.flash import flash_image

DK, NUCLEO = board("nrf52840dk"), board("nucleo-f446re")

Tool = Callable[[str, int], Path]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tool:
    """Puts programs in the places of pyOCD and OpenOCD that say `text`, end with a status, and
    write down how they were called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    record = tmp_path / "calls.jsonl"

    def make(text: str, status: int) -> Path:
        script = (
            "import json, pathlib, sys\n"
            f"with open({str(record)!r}, 'a') as out:\n"
            "    there = sorted(p.name for p in pathlib.Path().iterdir())\n"
            "    out.write(json.dumps([sys.argv[1:], there]) + '\\n')\n"
            f"print({text!r})\n"
            f"sys.exit({status})\n"
        )
        openocd = folder / "openocd"
        openocd.write_text(f"#!/usr/bin/env python3\n{script}")
        openocd.chmod(0o755)
        package = tmp_path / "fake" / "pyocd"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(script)
        return record

    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))
    monkeypatch.setattr(flashing, "find_spec", lambda name: object())
    return make


@pytest.fixture
def image(arm: None, work_dir: Path, tmp_path: Path) -> Path:
    built = build_image(None, DK, work_dir)
    file = tmp_path / "my image; {x}.elf"
    file.write_bytes(built.elf.read_bytes())
    return file


def calls(record: Path) -> list[list[str]]:
    found = [json.loads(line) for line in record.read_text().splitlines()]
    assert all(there == ["image.elf"] for _, there in found)
    return [words for words, _ in found]


def test_pyocd_is_asked_first(tool: Tool, image: Path) -> None:
    record = tool("Erased 4096 bytes", 0)
    assert flash_image(image, DK) == "pyOCD"
    assert calls(record) == [["load", "--no-wait", "--target", "nrf52840", "image.elf"]]
    assert flash_image(image, DK, "683001") == "pyOCD"
    assert calls(record)[1][4:] == ["--uid", "683001", "image.elf"]


def test_openocd_where_there_is_no_pyocd(
    tool: Tool, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tool("** Verified OK **", 0)
    monkeypatch.setattr(flashing, "find_spec", lambda name: None)
    assert flash_image(image, DK) == "OpenOCD"
    (words,) = calls(record)
    assert words == ["-f", str(DK.openocd), "-c", "program image.elf verify reset exit"]


def test_openocd_where_pyocd_does_not_know_the_chip(
    tool: Tool, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tool("Target type 'nrf52840' not recognized. Use 'pyocd list --targets'", 1)
    with pytest.raises(ToolError, match="pyOCD does not know nrf52840 yet .pyocd pack install"):
        flash_image(image, DK)
    assert len(calls(record)) == 2  # both were asked


@pytest.mark.parametrize(
    ("said", "status", "advice"),
    [
        ("No available debug probes are connected", 0, "finds no debug probe: plug in the board"),
        ("No connected debug probes", 1, "finds no debug probe"),
        ("usb.core.USBError: [Errno 13] Access denied (insufficient permissions)", 1, "udev"),
        ("0001 C Error: flash erase sector failed", 1, "pyOCD failed: 0001 C Error"),
        ("Enter the number of the debug probe or 'q' to quit>", 1, "name one with --probe"),
        ("", 3, "pyOCD failed: it said nothing"),
    ],
)
def test_what_is_said_when_it_fails(
    tool: Tool, image: Path, said: str, status: int, advice: str
) -> None:
    record = tool(said, status)
    with pytest.raises(ToolError, match=advice) as caught:
        flash_image(image, DK)
    assert f"{image} was not written to the nrf52840dk" in str(caught.value)
    assert len(calls(record)) == 1  # what hinders one would hinder the other


def test_no_probe_for_openocd(tool: Tool, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flashing, "find_spec", lambda name: None)
    tool("Error: open failed\nin procedure 'program'", 1)
    with pytest.raises(ToolError, match="OpenOCD finds no debug probe"):
        flash_image(image, DK)


def test_no_tool_at_all(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flashing, "find_spec", lambda name: None)
    monkeypatch.setattr(flashing.shutil, "which", lambda name: None)
    with pytest.raises(
        ToolError, match=r"pip install 'thumbnet\[flash\]'.*apt-get install openocd"
    ):
        flash_image(image, DK)


def test_a_tool_that_hangs(tool: Tool, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool("", 0)
    hanging = Path(os.environ["PYTHONPATH"]) / "pyocd" / "__main__.py"
    hanging.write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setattr(flashing, "SECONDS", 0.5)
    with pytest.raises(ToolError, match=r"did not end in 0.5 s: unplug the board"):
        flash_image(image, DK)


def test_files_that_are_no_images(tool: Tool, image: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        flash_image(tmp_path / "none.elf", DK)
    text = tmp_path / "text.elf"
    text.write_text("hello")
    with pytest.raises(DataError, match="is no ELF file"):
        flash_image(text, DK)
    with pytest.raises(DataError, match="linked for another board than the nucleo-f446re"):
        flash_image(image, NUCLEO)


def test_boards_that_cannot_be_flashed(image: Path) -> None:
    with pytest.raises(ToolError, match="run on it with --on mps2-an386"):
        flash_image(image, board("mps2-an386"))


def test_the_real_pyocd_without_a_probe(image: Path) -> None:
    pytest.importorskip("pyocd")
    with pytest.raises(ToolError, match="pyOCD finds no debug probe"):
        flash_image(image, DK)
