"""`thumbnet firmware`, and run, check and bench over a port: the firmware of an STM32F405 in QEMU,
which is reached as a board would be, by its UART at the end of a socket."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from command_line import refusal_of, result_of, thumbnet
from sample_models import SAMPLES

from thumbnet.codegen.image import read_elf
from thumbnet.tools.emulator import find_qemu

BOARD = "netduinoplus2"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a place, with spaces")
    for name in ("small_cnn", "stateful", "residual"):
        (folder / f"{name}.tflite").write_bytes(SAMPLES[name]().build())
    return folder


@contextmanager
def powered(elf: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The URL of a board that runs `elf`."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = (find_qemu(), "-M", BOARD, "-display", "none", "-monitor", "none", "-nic", "none")
    uart = ("-serial", f"tcp:127.0.0.1:{port},server=on,wait=off", "-kernel", elf.name)
    with subprocess.Popen((*command, *uart), cwd=elf.parent, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(200):
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield f"socket://127.0.0.1:{port}", process
        finally:
            process.kill()


@pytest.fixture(scope="module")
def elf(place: Path) -> Path:
    if shutil.which("arm-none-eabi-gcc") is None or shutil.which("qemu-system-arm") is None:
        pytest.skip("arm-none-eabi-gcc or qemu-system-arm is not installed")
    out = place / "state ful.elf"
    done = thumbnet(place, "firmware", "stateful.tflite", "--board", BOARD, "-o", out, "--json")
    result = result_of(done)
    assert (result["board"], result["target"], result["file"]) == (BOARD, "cortex-m4", str(out))
    assert result["sram"] <= 128 * 1024 and result["arena_bytes"] < result["sram"]
    assert result["flash"]["code"] + result["flash"]["weights"] < result["flash"]["total"]
    plain = place / "stateful.elf"
    plain.write_bytes(out.read_bytes())
    return plain


def test_a_board_at_a_port_is_run_checked_and_measured(place: Path, elf: Path) -> None:
    with powered(elf) as (url, _):
        checked = result_of(thumbnet(place, "check", "stateful.tflite", "--on", url, "--json"))
        assert checked["results"] == [
            {"model": "stateful", "on": url, "equal": True, "calls": 50, "max_difference": 0.0}
        ]
        words = ("stateful.tflite", "--on", url, "--profile", "--json")
        (measured,) = result_of(thumbnet(place, "bench", *words))["results"]
        assert measured["instructions"] is None and measured["cycles"] > 0
        assert 0 < sum(layer["cycles"] for layer in measured["layers"]) <= measured["cycles"]
        assert measured["flash"]["code"] > 0 and measured["stack_bytes"] > 0
        (shown,) = result_of(thumbnet(place, "bench", "stateful.tflite", "--on", url, "--json"))[
            "results"
        ]
        assert shown["arena_bytes"] == measured["arena_bytes"]
        table = thumbnet(place, "bench", "stateful.tflite", "--on", url)
        assert "cycles (est.)" not in table.stdout and "cycles" in table.stdout
        ours = thumbnet(place, "run", "stateful.tflite", "--output", "host.npy")
        theirs = thumbnet(place, "run", "stateful.tflite", "--on", url, "--output", "board.npy")
        assert ours.returncode == theirs.returncode == 0
        assert (np.load(place / "host.npy") == np.load(place / "board.npy")).all()


def test_a_board_with_another_model_is_refused(place: Path, elf: Path) -> None:
    with powered(elf) as (url, _):
        kind, text = refusal_of(thumbnet(place, "run", "residual.tflite", "--on", url, "--json"))
        assert kind == "tool" and "the netduinoplus2 holds another model: stateful" in text
        assert "thumbnet firmware residual.tflite --board netduinoplus2 -o F.elf" in text


def test_a_board_that_goes_away_is_told(place: Path, elf: Path) -> None:
    with powered(elf) as (url, process):
        process.kill()
        process.wait()
        kind, text = refusal_of(thumbnet(place, "check", "stateful.tflite", "--on", url, "--json"))
        assert kind == "tool" and "cannot connect to" in text


def test_something_else_at_the_port_is_told(place: Path) -> None:
    """It takes everything and says nothing; the command ends by itself."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"socket://127.0.0.1:{server.getsockname()[1]}"
        kind, text = refusal_of(thumbnet(place, "check", "stateful.tflite", "--on", url, "--json"))
    assert kind == "tool" and f"{url}: no answer in 5 s" in text and "thumbnet firmware" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--on", "/dev/ttyNONE"), "there is no such port"),
        (("--on", "socket://nowhere"), "write socket://HOST:PORT"),
        (("--on", "socket://127.0.0.1:99999"), "write socket://HOST:PORT"),
        (("--on", "strange://x"), "cannot open strange://x"),
        (("--on", "rfc2217://127.0.0.1:1"), "cannot open rfc2217://127.0.0.1:1"),
        (("--on", f"socket://{'x' * 70}:80"), "cannot connect to socket://xxx"),
        (("--on", "nucleo-f446re"), "it is a real board"),
        (("--on", "nowhere"), "choose one of host, "),
    ],
)
def test_ports_that_are_none(place: Path, words: tuple[str, ...], message: str) -> None:
    kind, text = refusal_of(thumbnet(place, "run", "stateful.tflite", *words, "--json"))
    assert kind == "tool" and message in text


# ---- images ------------------------------------------------------------------------------------


def test_formats_of_images(arm: None, place: Path) -> None:
    for suffix in ("elf", "hex", "bin"):
        words = ("small_cnn.tflite", "--board", "nucleo-f446re", "-o", f"out/i.{suffix}")
        assert thumbnet(place, "firmware", *words).returncode == 0
    symbols = read_elf(place / "out" / "i.elf").symbols
    assert symbols["__tn_flash_base"] == 0x08000000
    first = (place / "out" / "i.bin").read_bytes()[:8]
    assert int.from_bytes(first[:4], "little") == symbols["tn_stack_top"]
    assert int.from_bytes(first[4:], "little") == symbols["tn_reset"]
    assert (place / "out" / "i.hex").read_text().startswith(":02000004080")
    assert sorted(p.name for p in (place / "out").iterdir()) == ["i.bin", "i.elf", "i.hex"]


def test_what_was_built_is_shown_with_the_next_step(arm: None, place: Path) -> None:
    words = ("small_cnn.tflite", "--board", "nrf52840dk", "-o", "small.elf")
    done = thumbnet(place, "firmware", *words)
    assert "next: thumbnet flash small.elf --board nrf52840dk" in done.stdout
    assert "SRAM: all" in done.stdout and "262,144" in done.stdout


def test_refusals(arm: None, place: Path) -> None:
    kind, text = refusal_of(
        thumbnet(place, "firmware", "small_cnn.tflite", "--board", "x", "-o", "x.elf", "--json")
    )
    assert kind == "tool" and "unknown board 'x'" in text and "nucleo-h743zi" in text
    words = ("small_cnn.tflite", "--board", "microbit", "-o")
    kind, text = refusal_of(thumbnet(place, "firmware", *words, "x.exe", "--json"), 2)
    assert "'x.exe' does not end in .elf, .hex, .bin" in text
    kind, text = refusal_of(thumbnet(place, "firmware", *words, "/proc/x.elf", "--json"))
    assert kind == "tool" and "cannot write /proc/x.elf" in text
    assert not list(place.glob("x.*"))
    done = thumbnet(place, "firmware", "small_cnn.tflite", "--board", "nrf52840dk", "-o", "y.bin")
    assert done.returncode == 0 and "next:" not in done.stdout
    assert json.loads(thumbnet(place, "boards", "--json").stdout)["boards"]
